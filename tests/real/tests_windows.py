"""The program of Windows, under Wine, in the bed: single sign-on with a ticket, whoever is logged in, named accounts.

Wine takes Kerberos to the system's library, so a ticket of kinit(1) is what a log-on to a domain leaves on Windows.
"""
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

from harness import ROOT, bad_logons, equal, passed, squid_log, test, unlock, wait_for
from layout import ACCOUNTS, SQUIDS

TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
EXE = os.environ.get("HALLPASS_EXE") or str(TARGET / "x86_64-pc-windows-gnu" / "debug" / "hallpass.exe")
PREFIX = TARGET / "windows" / "prefix"
HERE = ROOT / "tests" / "windows"
WINE, SERVER = "/usr/lib/wine/wine64", "/usr/lib/wine/wineserver64"
HELLO = b"hello from the origin\n"
MAKING = threading.Lock()


class Relay:
    """A hallpass.exe in a prefix of its own: its server keeps the environment it began with, and its user a state."""

    def __init__(self, t, squid, user=None, password=None, logged_in=None, keys=""):
        self.t = t
        self.dir = t.dir / f"windows-{len(t.relays)}"
        self.dir.mkdir()
        self.prefix = self.dir / "prefix"
        with MAKING:
            # The registry is written anew by each server; the rest of a prefix is only read.
            subprocess.run(["cp", "-a", "--link" if same_device(self.dir) else "--reflink=auto", PREFIX, self.prefix], check=True)
            for hive in self.prefix.glob("*.reg"):
                text = hive.read_bytes()
                hive.unlink()
                hive.write_bytes(text)
        for state in (self.prefix / "drive_c" / "users").glob("*/AppData/Local/hallpass"):
            shutil.rmtree(state)
        config = self.dir / "hallpass.toml"
        config.write_text(f'{keys}[upstreams.office]\nurl = "{SQUIDS[squid].url}"\n')
        variables = {"WINEPREFIX": str(self.prefix), "WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml=",
                     "HALLPASS_ACCESS_USERS": "any"}
        if user:
            variables |= {"HALLPASS_USER": user, "HALLPASS_PASSWORD": password or ACCOUNTS[user.split("\\")[-1]]}
        if logged_in:
            who, secret = logged_in
            variables |= {"PATH": f"{HERE}:{t.env()['PATH']}", "TEST_LOGGED_IN": f"CORP\\{who}", "TEST_LOGGED_IN_PASSWORD": secret}
        self.env = t.env(**variables)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = free.getsockname()
        self.url = "http://%s:%d" % self.address
        self.log = self.dir / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [WINE, EXE, "serve", "--config", "Z:" + str(config).replace("/", "\\"), "--listen", "%s:%d" % self.address, "--log", "debug"],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        t.relays.append(self)
        wait_for("the relay under Wine", self.listens, 60)

    def listens(self):
        assert self.process.poll() is None, self.log.read_text(errors="replace")
        with socket.socket() as client:
            return client.connect_ex(self.address) == 0

    def stop(self):
        subprocess.run([SERVER, "-k"], env=self.env, check=False)
        self.process.wait(20)
        shutil.rmtree(self.prefix, ignore_errors=True)


def same_device(directory):
    return directory.stat().st_dev == PREFIX.stat().st_dev


def logged_on(squid, site):
    """As whom, and by which schemes; a request on a connection that is logged on already carries none."""
    entries = passed(squid, site, 2)
    (user,), (scheme,) = {entry.user for entry in entries}, {entry.scheme for entry in entries} - {"none"}
    return user, scheme


def through(t, relay, tunnels=True):
    """A request and a tunnel."""
    for options in ((), ("--proxytunnel",)) if tunnels else ((),):
        answer = t.curl(relay, f"http://{t.site}/hello", *options)
        equal((answer.status, answer.body), (200, HELLO), (options, answer.stderr, relay.log.read_text(errors="replace")[-1500:]))


@test("Wine: with a Kerberos ticket the exe signs on by itself at Squid {}", each=("negotiate", "combo", "wraponly"), stage="windows")
def single_sign_on(t, squid):
    t.kinit("alice")
    relay = Relay(t, squid)
    through(t, relay)
    equal(logged_on(squid, t.site), ("alice@CORP.TEST", "Kerberos"), "Squid's log")
    ticket = t.curl(relay, f"{relay.url}/status", "--noproxy", "*").json()["upstreams"][0]["ticket"]
    assert ticket, "the status says nothing of the ticket"


@test("Wine: without a ticket the exe logs on as whoever is logged in at Squid {}, with the system's NTLM",
      each=("ntlm", "combo", "wraponly"), stage="windows")
def whoever_is_logged_in(t, squid):
    relay = Relay(t, squid, logged_in=("carol", ACCOUNTS["carol"]))
    through(t, relay)
    wanted = "NTLM in Negotiate" if squid == "wraponly" else "NTLM"
    equal(logged_on(squid, t.site), ("CORP\\carol", wanted), "Squid's log")


@test("Wine: the rejected secret of whoever is logged in costs one bad logon, however many ask", stage="windows")
def rejected_once(t):
    unlock("wrong-windows")
    relay = Relay(t, "ntlm", logged_in=("wrong-windows", "not this one"))
    for _ in range(4):
        equal(t.curl(relay, f"http://{t.site}/hello").status, 407, "the status")
    equal(bad_logons("wrong-windows"), 1, "the directory's count")


@test("Wine: the exe logs on at Squid ntlm as {}, a named account", each=("alice", "bob", "dave"), stage="windows")
def named(t, user):
    relay = Relay(t, "ntlm", user=f"CORP\\{user}")
    through(t, relay)
    equal(logged_on("ntlm", t.site), (f"CORP\\{user}", "NTLM"), "Squid's log")


@test("Wine: a user who is named gets the ticket that is his, and NTLM where it is another's", stage="windows")
def whose_ticket(t):
    t.kinit("alice")
    relay = Relay(t, "combo", user="CORP\\carol")
    through(t, relay)
    equal(logged_on("combo", t.site), ("CORP\\carol", "NTLM"), "Squid's log")


@test("Wine: without a ticket, at an upstream that takes nothing else, the exe says what is missing and shows nothing", stage="windows")
def no_ticket(t):
    relay = Relay(t, "negotiate")
    answer = t.curl(relay, f"http://{t.site}/hello")
    equal(answer.status, 407, "the status")
    assert b"Kerberos of Windows: whoever is logged in" in answer.body and b"(0x8009030e)" in answer.body, answer.body
    # NTLM may be tried under Negotiate, and there its first message, which shows nothing, is refused.
    equal({(entry.user, entry.status) for entry in squid_log("negotiate", t.site)}, {("-", 407)}, "Squid's log")
