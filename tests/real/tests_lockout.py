"""The directory locks an account at the third wrong password: one wrong password is one, whatever asks for it and how often."""
import os
import re
import signal
import socket
import subprocess
import threading
import time

from harness import HALLPASS, NPM, CA_FILE, bad_logons, equal, read_head, squid_log, test, unlock, wait_for
from layout import ACCOUNTS
from tests_clients import variables
from tests_schemes import at_once

WRONG = "not this one"
CROWD = 50
# Held by whoever stops the directory, and by those that run in the background and need its verdict at once.
DIRECTORY = threading.Lock()


def connects(t, relay, count=CROWD, port=443):
    """The statuses of so many CONNECTs at once."""
    def one(_):
        with socket.create_connection(relay.address, timeout=60) as connection:
            connection.sendall(f"CONNECT {t.site}:{port} HTTP/1.1\r\nHost: {t.site}:{port}\r\n\r\n".encode())
            return int(read_head(connection).split()[1])
    return at_once(count, one)


def proofs(kind, site):
    """What Squid was shown that proves a password: NTLM messages of type 3, Digest and Basic fields."""
    def proves(entry):
        return entry.scheme in ("Digest", "Basic") or "TlRMTVNTUAAD" in entry.auth
    return [entry for entry in squid_log(kind, site) if proves(entry)]


def wrong_twice(t, relay):
    """Fifty with a wrong password, the relay killed, and fifty more."""
    equal(connects(t, relay), [407] * CROWD, "statuses")
    relay.kill_and_restart()
    equal(connects(t, relay), [407] * CROWD, "statuses after kill -9 and a restart")


def works(t, relay):
    return connects(t, relay, 1) == [200]


USERS = {"ntlm": "CORP\\lock-ntlm", "combo": "CORP\\lock-combo", "basic": "lock-basic"}


@test("fifty with a wrong password, kill -9 and fifty more are one bad logon by Squid {}, and the right one works by itself", each=USERS)
def once(t, kind):
    account = f"lock-{kind}"
    unlock(account)
    relay = t.relay(kind, user=USERS[kind], password=WRONG, schemes=["basic"] if kind == "basic" else None)
    wrong_twice(t, relay)
    equal(bad_logons(account), 1, "bad logons in the directory")
    relay.set_password(ACCOUNTS[account])
    wait_for("the right password to be read", lambda: works(t, relay))
    wait_for("the tunnel in the log", lambda: any(entry.status == 200 for entry in proofs(kind, t.site)))
    equal(len(proofs(kind, t.site)), 2, "proofs: the wrong one and the right one")
    equal(bad_logons(account), 0, "bad logons after the good one")
    t.notes.append(f"{CROWD} + {CROWD} requests: 1 bad logon; the right password: 1 logon")


@test("a password that the KDC refuses is one bad logon for fifty, kill -9 and fifty more")
def at_the_kdc(t):
    unlock("lock-kdc")
    relay = t.relay("combo", user="lock-kdc@CORP.TEST", password=WRONG)
    wrong_twice(t, relay)
    equal(bad_logons("lock-kdc"), 1, "bad logons in the directory")
    relay.set_password(ACCOUNTS["lock-kdc"])
    wait_for("the right password to be read", lambda: works(t, relay))
    equal(bad_logons("lock-kdc"), 0, "bad logons after the good one")


@test("five proxies of one directory are one bad logon")
def five(t):
    unlock("lock-five")
    kinds = ["ntlm", "ntlmclose", "wrap", "wraponly", "ntlm5"]
    relay = t.relay(*kinds, user="CORP\\lock-five", password=WRONG)
    wrong_twice(t, relay)
    equal(bad_logons("lock-five"), 1, "bad logons in the directory")
    equal(sum(len(proofs(kind, t.site)) for kind in kinds), 1, "proofs in all logs")
    relay.set_password(ACCOUNTS["lock-five"])
    wait_for("the right password to be read", lambda: works(t, relay))


@test("a wrong password for Digest is shown once to Squid by fifty, kill -9 and fifty more")
def digest(t):
    relay = t.relay("digest", user="alice", password=WRONG)
    wrong_twice(t, relay)
    equal(len(proofs("digest", t.site)), 1, "Digest fields in the log")
    relay.set_password(ACCOUNTS["alice"])
    wait_for("the right password to be read", lambda: works(t, relay))
    wait_for("the tunnel in the log", lambda: any(entry.status == 200 for entry in proofs("digest", t.site)))
    equal(len(proofs("digest", t.site)), 2, "Digest fields in the log")


@test("Claude Code with a wrong password is one bad logon", background=True)
def claude(t):
    unlock("lock-claude")
    relay = t.relay("ntlm", user="CORP\\lock-claude", password=WRONG)
    with DIRECTORY:
        for _ in range(2):
            try:
                t.run(NPM / ".bin" / "claude", "-p", "hi", stdin="", seconds=20, check=False,
                      **variables(relay, ANTHROPIC_API_KEY="test", NODE_EXTRA_CA_CERTS=str(CA_FILE)))
            except subprocess.TimeoutExpired:
                pass   # it goes on trying, which is the point
            assert relay.audit(), "it asked for nothing"
            equal(bad_logons("lock-claude"), 1, "bad logons in the directory")
            relay.kill_and_restart()
    t.notes.append(f"{len(relay.audit())} requests of the CLI: 1 bad logon")
    relay.set_password(ACCOUNTS["lock-claude"])
    wait_for("the right password to be read", lambda: works(t, relay))


def change_in_directory(account, password):
    subprocess.run(["samba-tool", "user", "setpassword", account, f"--newpassword={password}"], check=True, capture_output=True)


@test("a password that was good and is changed in the directory is one bad logon after a minute's silence", background=True)
def changed(t):
    account, old = "lock-changed", ACCOUNTS["lock-changed"]
    unlock(account)
    change_in_directory(account, old)
    relay = t.relay("ntlm", user=f"CORP\\{account}", password=old)
    equal(connects(t, relay, 20), [200] * 20, "while it is good")
    change_in_directory(account, "Changed-Pw-9")
    time.sleep(61)   # what is measured
    with DIRECTORY:
        unlock(account)
        equal(connects(t, relay), [407] * CROWD, "after the change")
        equal(bad_logons(account), 1, "bad logons in the directory")
    relay.set_password("Changed-Pw-9")
    wait_for("the new password to be read", lambda: works(t, relay))


@test("a password that is changed in the middle of a burst costs no more bad logons than are in flight")
def burst(t):
    account, old, window = "lock-burst", ACCOUNTS["lock-burst"], 2
    unlock(account)
    change_in_directory(account, old)
    relay = t.relay("ntlm", user=f"CORP\\{account}", password=old, keys=f"max_logons = {window}\n")
    equal(connects(t, relay, 10), [200] * 10, "while it is good")
    statuses = []
    def ask(number):
        if number == 0:
            change_in_directory(account, "Changed-Pw-9")
            return None
        while True:   # until the change has come through
            (status,) = connects(t, relay, 1)
            statuses.append(status)
            if status != 200:
                return status
    equal(set(at_once(20, ask)[1:]), {407}, "the last of each")
    assert statuses.count(200) > 20, f"no burst: {statuses}"
    bad = bad_logons(account)
    assert 1 <= bad <= window, f"{bad} bad logons"
    t.notes.append(f"{statuses.count(200)} logons before the change, {bad} bad ones after it")
    relay.set_password("Changed-Pw-9")
    wait_for("the new password to be read", lambda: works(t, relay))


@test("hallpass status --retry asks for one more try, and hallpass status says how the account stands")
def retry(t):
    account = "lock-retry"
    unlock(account)
    relay = t.relay("ntlm", user=f"CORP\\{account}", password=WRONG)
    equal(connects(t, relay), [407] * CROWD, "statuses")
    environment = {"XDG_RUNTIME_DIR": str(relay.dir / "run"), "XDG_STATE_HOME": str(relay.dir / "state")}
    told = t.run(HALLPASS, "status", "--config", relay.dir / "hallpass.toml", **environment)
    assert re.search(r"account +CORP\\lock-retry rejected by http://proxy\.corp\.test:3123 since .*--retry", told), told
    assert WRONG not in told + relay.log.read_text(), "the password is shown"
    t.run(HALLPASS, "status", "--retry", "--config", relay.dir / "hallpass.toml", **environment)
    def retried():
        equal(set(connects(t, relay, 10)), {407}, "statuses")
        return bad_logons(account) == 2
    wait_for("one more try", retried)
    equal(set(connects(t, relay)), {407}, "statuses")
    equal(bad_logons(account), 2, "bad logons in the directory")
    errors = [line for line in relay.log.read_text().splitlines() if " ERROR " in line]
    equal(len(errors), 2, "lines that tell of a rejection")
    unlock(account)


@test("an account that is locked is called so where the KDC tells, and nothing is claimed where nobody does")
def locked(t):
    account = "lock-locked"
    unlock(account)
    for _ in range(3):
        t.run("kinit", f"{account}@CORP.TEST", stdin=WRONG + "\n", check=False)
    # Samba's KDC tells only who knows the password; Windows tells whoever asks.
    for kind, user, words in (("combo", f"{account}@CORP.TEST", "the account is locked or disabled"),
                              ("ntlm", f"CORP\\{account}", "nobody says which")):
        relay = t.relay(kind, user=user, password=ACCOUNTS[account])
        text = t.curl(relay, f"http://{t.site}/hello").body.decode()
        assert words in text and account not in text, text
    unlock(account)
    t.run(HALLPASS, "status", "--retry", "--config", relay.dir / "hallpass.toml", **{"XDG_STATE_HOME": str(relay.dir / "state")})
    wait_for("the account to work again", lambda: works(t, relay))


def winbinds():
    return [int(pid) for pid in subprocess.run(["pgrep", "-x", "winbindd"], capture_output=True, text=True, check=True).stdout.split()]


@test("after ten seconds without winbind it works again without a person", alone=True)
def outage(t):
    unlock("lock-outage")
    relay = t.relay("ntlm", user="CORP\\lock-outage", password=ACCOUNTS["lock-outage"])
    equal(connects(t, relay, 10), [200] * 10, "before")
    with DIRECTORY:
        stopped = winbinds()
        assert stopped, "winbindd is not there"
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            during = at_once(5, lambda _: connects(t, relay, 1))
            time.sleep(max(0, 10 - (time.monotonic() - began)))
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        began = time.monotonic()
        wait_for("it to work", lambda: works(t, relay), 90)
    t.notes.append(f"meanwhile {during}; worked {time.monotonic() - began:.1f} s after its return")
    equal(connects(t, relay, 20), [200] * 20, "afterwards")
