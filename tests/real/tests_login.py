"""A password in the key ring of a desktop: put there by `hallpass login`, found there by the relay."""
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager

from harness import HALLPASS, bad_logons, equal, passed, test, wait_for
from layout import ACCOUNTS, SQUIDS

NOBODY = 65534
KEY_RING = "/org/freedesktop/secrets/collection/login"


@contextmanager
def desktop(t):
    """A session bus and GNOME's key ring, unlocked as at a log-in; gives what programs of the session have in their environment."""
    bus = t.dir / "bus"
    session = {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={bus}"}
    with (t.dir / "desktop.log").open("ab") as log:
        start = lambda *command: subprocess.Popen(command, env=t.env(**session), stdin=subprocess.PIPE, stdout=log, stderr=log)
        daemon = start("dbus-daemon", "--session", "--nofork", f"--address=unix:path={bus}")
        keyring = None
        try:
            wait_for("the session bus", bus.exists)
            keyring = start("gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets")
            keyring.stdin.write(b"log-in password")
            keyring.stdin.close()
            call = ("gdbus", "call", "--session", "--dest", "org.freedesktop.DBus", "--object-path", "/org/freedesktop/DBus",
                    "--method", "org.freedesktop.DBus.NameHasOwner", "org.freedesktop.secrets")
            wait_for("the key ring", lambda: "true" in t.run(*call, check=False, **session))
            yield session
        finally:
            for process in filter(None, (keyring, daemon)):
                process.terminate()
                process.wait(10)
            bus.unlink(missing_ok=True)


@test("login stores in the desktop's key ring, where the relay finds it in the next session too, and a locked one costs no logon")
def key_ring(t):
    user, password = "CORP\\alice", ACCOUNTS["alice"]
    config = t.dir / "user.toml"
    config.write_text(f"[credentials.corp]\nuser = '{user}'\n")
    with desktop(t) as session:
        said = t.run(HALLPASS, "login", "--config", config, stdin=password + "\n", **session)
        assert "is stored in the desktop's key ring" in said and "hallpass uses it from now on" in said, said
        assert password not in said, said
        equal(t.run("secret-tool", "lookup", "service", "hallpass", "username", user, **session), password, "what other programs find")
    with desktop(t) as session:
        relay = t.relay("ntlm", user=user, env=session)
        equal(t.curl(relay, f"https://{t.site}/hello").body, b"hello from the origin\n", "the answer")
        before = bad_logons("alice")
        lock = ("gdbus", "call", "--session", "--dest", "org.freedesktop.secrets", "--object-path", "/org/freedesktop/secrets", "--method",
                "org.freedesktop.Secret.Service.Lock", f"['{KEY_RING}']")
        t.run(*lock, **session)
        relay = t.relay("ntlm", user=user, env=session)
        answer = t.curl(relay, f"http://{t.site}/hello")
        equal(answer.status, 407, "the status while the key ring is locked")
        assert b"key ring is locked: unlock it" in answer.body, answer.body
        equal(bad_logons("alice"), before, "bad logons")
    with desktop(t) as session:
        said = t.run(HALLPASS, "logout", "--config", config, **session)
        assert "is removed from the desktop's key ring" in said, said
        relay = t.relay("ntlm", user=user, env=session)
        answer = t.curl(relay, f"http://{t.site}/hello")
        assert answer.status == 407 and b"run hallpass login" in answer.body, answer
    equal(len(passed("ntlm", t.site, 1)), 1, "requests in the proxy's log")


@test("what a user without a desktop stores is found by a service with a session of its own, and by no other user")
def kernel(t):
    hallpass, home, user = t.dir / "hallpass", t.dir / "home", f"CORP\\{t.site}"
    shutil.copy(HALLPASS, hallpass)
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    config = home / "hallpass.toml"
    config.write_text(f"[upstreams.ntlm]\nurl = '{SQUIDS['ntlm'].url}'\n[credentials.corp]\nuser = '{user}'\n")
    # Each in a session keyring of its own, as systemd starts services.
    by = lambda uid: ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "keyctl", "session", "-")
    command = lambda name: (*by(NOBODY), hallpass, name, "--config", config)
    for password in ("first", "second"):
        said = t.run(*command("login"), stdin=password + "\n", HOME=str(home))
        assert "is stored in the kernel's key ring, until this machine restarts" in said, said
        find = f"keyctl pipe $(keyctl search @u user 'hallpass:{user}')"
        equal(t.run(*by(NOBODY), "sh", "-c", find).splitlines()[-1], password, "what another session finds")
    key = t.run(*by(NOBODY), "sh", "-c", f"keyctl search @u user 'hallpass:{user}'").split()[-1]
    other = t.run(*by(NOBODY - 1), "keyctl", "print", key, check=False)
    assert "Permission denied" in other and "second" not in other, other
    said = t.run(*command("logout"), HOME=str(home))
    assert "is removed from the kernel's key ring" in said, said
    assert "no password of" in t.run(*command("logout"), HOME=str(home))


def copies(pid, needle):
    """How often a process has something in memory that it can write to."""
    count = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            place, mode = line.split()[:2]
            if mode.startswith("rw"):
                begin, end = (int(part, 16) for part in place.split("-"))
                memory.seek(begin)
                try:
                    count += memory.read(end - begin).count(needle)
                except OSError:   # the mapping has ended since
                    pass
    return count


@test("after a logon by Kerberos the password stands in memory once, and after a reload not at all")
def memory(t):
    password = ACCOUNTS["alice"].encode()
    relay = t.relay("negotiate", user="alice@CORP.TEST", password=ACCOUNTS["alice"])
    equal(t.curl(relay, f"https://{t.site}/hello").status, 200, "the status")
    equal(wait_for("the record", relay.audit)[0]["scheme"], "Negotiate", "the scheme")
    for encoding in ("utf-8", "utf-16-le"):
        found = copies(relay.process.pid, password.decode().encode(encoding))
        equal(found, 1 if encoding == "utf-8" else 0, f"copies in {encoding}")
    relay.process.send_signal(signal.SIGHUP)
    wait_for("the reload", lambda: "reloaded" in relay.log.read_text())
    equal(copies(relay.process.pid, password), 0, "copies after the reload")
