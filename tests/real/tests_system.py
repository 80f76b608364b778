"""The desktop's own settings name the relay for as long as a program runs, and whatever is killed, they are as before afterwards."""
import json
import os
import re
import shlex
import signal
import subprocess
import time
from contextlib import contextmanager

from harness import HALLPASS, equal, passed, test, wait_for
from tests_moving import ALICE

SCHEMA = "org.gnome.system.proxy"
OFFICE = {f"{SCHEMA} mode": "manual", f"{SCHEMA}.http host": "proxy.corp.example", f"{SCHEMA}.http port": "8081",
          f"{SCHEMA}.socks host": "socks.corp.example", f"{SCHEMA}.socks port": "1080",
          f"{SCHEMA} ignore-hosts": "['*.corp.example', 'it\\'s']"}


class Session:
    """A user with a session bus and GNOME's settings in dconf."""

    def __init__(self, t, settings, more):
        self.t, self.home = t, t.dir / "home"
        self.home.mkdir(exist_ok=True)
        self.runtime = t.dir / "runtime"
        self.runtime.mkdir(0o700, exist_ok=True)
        self.variables = {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.runtime), "XDG_CURRENT_DESKTOP": "GNOME",
                          "DBUS_SESSION_BUS_ADDRESS": f"unix:path={t.dir / 'bus'}", "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": "", **more}
        self.state = self.home / ".local/state/hallpass"
        self.journal = self.state / "system-proxy.json"
        self.entry = self.home / ".config/autostart/hallpass-restore.desktop"
        self.settings = settings
        self.runs = []

    @contextmanager
    def up(self):
        bus = self.t.dir / "bus"
        with (self.t.dir / "bus.log").open("ab") as log:
            daemon = subprocess.Popen(["dbus-daemon", "--session", "--nofork", f"--address=unix:path={bus}"],
                                      env=self.t.env(**self.variables), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for("the session bus", bus.exists)
            for key, value in self.settings.items():
                self.set(key, value)
            self.before = self.all()
            yield self
        finally:
            for run in self.runs:
                run.kill()
                run.wait()
            daemon.terminate()
            daemon.wait(10)
            bus.unlink(missing_ok=True)

    def set(self, key, value):
        self.t.run("gsettings", "set", *key.split(" "), value, **self.variables)

    def all(self):
        lines = self.t.run("gsettings", "list-recursively", SCHEMA, **self.variables).splitlines()
        return dict(sorted((" ".join(line.split(" ")[:2]), line.split(" ", 2)[2]) for line in lines))

    def user_wrote(self):
        """What stands in the user's own database, which the defaults do not."""
        return self.t.run("dconf", "dump", "/system/proxy/", **self.variables)

    def names(self, relay):
        host, port = relay.address
        now = self.all()
        return [now[f"{SCHEMA}{key}"] for key in (" mode", ".http host", ".https host", ".http port", ".https port")] == [
            "'manual'", f"'{host}'", f"'{host}'", str(port), str(port)]

    def start(self, relay, *command):
        """`hallpass run --system`."""
        log = self.t.dir / f"run-{len(self.runs)}.log"
        with log.open("wb") as out:
            run = subprocess.Popen([HALLPASS, "run", "--system", "--listen", "%s:%d" % relay.address, "--", *command],
                                   env=self.t.env(**self.variables), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.runs.append(run)
        run.log = log
        return run

    def lasting(self, relay):
        """One whose program has begun; with its part of the journal."""
        begun = self.t.dir / f"begun-{len(self.runs)}"
        run = self.start(relay, "sh", "-c", f"touch {begun}; exec sleep 60")
        wait_for("the program", lambda: begun.exists() or run.poll() is not None)
        assert run.poll() is None and self.names(relay) and self.entry.exists(), run.log.read_text()
        return run, next(owner for owner in self.owners() if owner["pid"] == run.pid)

    def owners(self):
        return json.loads(self.journal.read_text())["owners"] if self.journal.exists() else []

    def restored(self, seconds=2):
        """How long it took until all is as before."""
        begun = time.monotonic()
        wait_for("the settings to be as before", lambda: self.all() == self.before and not self.journal.exists(), seconds)
        took = time.monotonic() - begun
        wait_for("the autostart entry to be gone", lambda: not self.entry.exists())
        return took

    def status(self):
        """What a command says on its error output; there is no relay that it could ask."""
        return subprocess.run([HALLPASS, "status", "--no-config", "--listen", "127.0.0.1:1"], env=self.t.env(**self.variables),
                              capture_output=True, text=True).stderr


def gone(pid):
    """Neither there nor waiting for its parent."""
    try:
        return re.search(r"^State:\s+[ZX]", open(f"/proc/{pid}/status").read(), re.M) is not None
    except (FileNotFoundError, ProcessLookupError):
        return True


@contextmanager
def office(t, settings=OFFICE, **more):
    with Session(t, settings, more).up() as session:
        yield session, t.relay("ntlm", **ALICE)


@test("run --system has GNOME's settings name the relay while the program runs, and its exit code is that of the program")
def normal(t):
    with office(t) as (session, relay):
        wrote = session.user_wrote()
        seen = t.dir / "seen"
        script = f"gsettings list-recursively {SCHEMA} > {seen}; cp {session.entry} {session.journal} {t.dir}; stat -c %a {session.journal} > {t.dir}/mode; exit 7"
        run = session.start(relay, "sh", "-c", script)
        equal(run.wait(10), 7, run.log.read_text())
        found = dict((" ".join(line.split(" ")[:2]), line.split(" ", 2)[2]) for line in seen.read_text().splitlines())
        host, port = relay.address
        for key, value in {" mode": "'manual'", ".http host": f"'{host}'", ".https host": f"'{host}'", ".http port": str(port),
                           ".https port": str(port), ".socks host": "''", ".socks port": "1080",
                           " ignore-hosts": r"""['*.corp.example', "it's", 'localhost', '127.0.0.0/8', '::1']"""}.items():
            equal(found[SCHEMA + key], value, key)
        equal(session.all(), session.before, "the settings afterwards")
        equal(session.user_wrote(), wrote, "what the user's database holds afterwards")
        equal((t.dir / "mode").read_text(), "600\n", "the journal's mode")
        command = shlex.split(re.search("^Exec=(.*)$", (t.dir / session.entry.name).read_text(), re.M)[1])
        equal(command[1:], ["guard", str(session.state)], "the autostart entry's command")
        assert not session.entry.exists() and not session.journal.exists()
        equal(run.log.read_text(), "", "what was said")


@test("a program of GNOME's goes to the relay while it runs under run --system, and not to loopback")
def resolver(t):
    ask = ("from gi.repository import Gio; ask = Gio.ProxyResolver.get_default().lookup;"
           "print(*(ask(url, None)[0] for url in ('https://far.example/', 'http://far.example/', 'http://localhost/', 'http://a.corp.example/')))")
    with office(t) as (session, relay):
        run = session.start(relay, "/usr/bin/python3", "-c", ask)
        equal(run.wait(20), 0, run.log.read_text())
        equal(run.log.read_text(), f"{relay.url} {relay.url} direct:// direct://\n", "what GLib answers")


@test("a fresh desktop has nothing set after run --system either")
def fresh(t):
    with office(t, {}) as (session, relay):
        equal(session.user_wrote(), "", "before")
        equal(session.start(relay, "true").wait(10), 0, "the exit code")
        equal(session.user_wrote(), "", "afterwards")


@test("where an administrator has given settings other defaults, those that a user has overruled are so afterwards")
def site_defaults(t):
    site = t.dir / "site"
    site.mkdir()
    (site / "proxy").write_text("[system/proxy]\nmode='auto'\nautoconfig-url='http://wpad.corp.example/p.pac'\n")
    t.run("dconf", "compile", t.dir / "site.db", site)
    (t.dir / "profile").write_text(f"user-db:user\nfile-db:{t.dir / 'site.db'}\n")
    for settings, mode in (({}, "'auto'"), ({f"{SCHEMA} mode": "none"}, "'none'")):
        with office(t, settings, DCONF_PROFILE=str(t.dir / "profile")) as (session, relay):
            equal(session.before[f"{SCHEMA} mode"], mode, "before")
            equal(session.start(relay, "true").wait(10), 0, "the exit code")
            equal(session.all(), session.before, "afterwards")


@test("a program under run --system that is ended by {} leaves the settings as before", each=("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"))
def ended(t, name):
    with office(t) as (session, relay):
        run, owner = session.lasting(relay)
        run.send_signal(getattr(signal, name))
        took = session.restored()
        run.wait(10)
        wait_for("the guard's end", lambda: gone(owner["guard"]))
        t.notes.append(f"as before {took:.2f} s after {name}")
        if name == "SIGKILL":
            assert "are as before hallpass run --system, which was ended by force" in run.log.read_text(), run.log.read_text()


@test("when run --system and its guard are both killed, the next command of hallpass puts the settings back and says so in one line")
def both(t):
    with office(t) as (session, relay):
        run, owner = session.lasting(relay)
        os.kill(owner["guard"], signal.SIGKILL)
        run.kill()
        run.wait()
        assert session.names(relay) and session.journal.exists() and session.entry.exists(), "somebody else has put them back"
        said = session.status()
        equal(said.splitlines()[0], "hallpass: GNOME's network settings are as before hallpass run --system, which was ended by force")
        session.restored(0.1)
        assert "as before" not in session.status()


@test("when all are killed, what the autostart entry runs at the next log-in puts the settings back")
def log_in(t):
    with office(t) as (session, relay):
        run, owner = session.lasting(relay)
        os.kill(owner["guard"], signal.SIGKILL)
        run.kill()
        run.wait()
        command = shlex.split(re.search("^Exec=(.*)$", session.entry.read_text(), re.M)[1])
        t.run(*command, **session.variables)
        session.restored(0.1)


@test("what somebody else has set meanwhile stays when run --system ends, and is said")
def meanwhile(t):
    with office(t) as (session, relay):
        run = session.start(relay, "sh", "-c", f"gsettings set {SCHEMA} ignore-hosts \"['theirs.example']\"")
        equal(run.wait(10), 0, run.log.read_text())
        equal(session.all(), {**session.before, f"{SCHEMA} ignore-hosts": "['theirs.example']"}, "afterwards")
        equal(run.log.read_text(), "hallpass: GNOME's network settings are as before; ignore-hosts stays as somebody else has set it since\n")


@test("of two run --system at once the last one to end puts the settings back, even if the first one is killed")
def two(t):
    with office(t) as (session, relay):
        first, _ = session.lasting(relay)
        second, _ = session.lasting(relay)
        first.kill()
        first.wait()
        wait_for("the first one to be forgotten", lambda: [owner["pid"] for owner in session.owners()] == [second.pid], 2)
        assert session.names(relay) and session.entry.exists()
        second.send_signal(signal.SIGTERM)
        session.restored()


@test("a relay that finds its way in the desktop's settings keeps to what they said before run --system")
def discovery(t):
    with office(t) as (session, relay):
        explain = lambda: json.loads(t.run(HALLPASS, "explain", "--no-config", "--json", "http://far.example/", **session.variables))["hops"]
        equal(explain(), ["http://proxy.corp.example:8081"], "before")
        run, _ = session.lasting(relay)
        equal(explain(), ["http://proxy.corp.example:8081"], "meanwhile")
        run.send_signal(signal.SIGTERM)
        session.restored()
        equal(explain(), ["http://proxy.corp.example:8081"], "afterwards")


@test("run --system has KDE's file name the relay while the program runs, and leaves it byte for byte as it was, also when killed")
def kde(t):
    with office(t, {}, XDG_CURRENT_DESKTOP="KDE") as (session, relay):
        text = ("[$Version]\nupdate_info=kioslave.upd:kde2.2/r1\n\n[Proxy Settings][$i]\nkept=1\n\n[Proxy Settings]\nNoProxyFor=.corp.example\n"
                "Proxy Config Script[$e]=http://wpad.corp.example/p.pac\nProxyType=2\nReversedException=false\nhttpProxy=\nhttpsProxy=\n"
                "socksProxy=socks://socks.corp.example 1080\n\n[Other]\nProxyType=4\n")
        file, seen = session.home / ".config/kioslaverc", t.dir / "seen"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o644)
        equal(session.start(relay, "cp", file, seen).wait(10), 0, "the exit code")
        host, port = relay.address
        for line in ("ProxyType=1", f"httpProxy=http://{host} {port}", f"httpsProxy=http://{host} {port}", "socksProxy=",
                     "NoProxyFor=.corp.example,localhost,127.0.0.1,::1", "Proxy Config Script[$e]=http://wpad.corp.example/p.pac"):
            assert f"\n{line}\n" in seen.read_text(), seen.read_text()
        equal(file.read_text(), text, "the file afterwards")
        begun = t.dir / "begun"
        run = session.start(relay, "sh", "-c", f"touch {begun}; exec sleep 60")
        wait_for("the program", begun.exists)
        assert file.read_text() != text
        run.kill()
        wait_for("the file to be as before", lambda: file.read_text() == text and not session.journal.exists(), 2)
        equal(file.stat().st_mode & 0o777, 0o644, "its mode")


@test("a relay that run --system starts goes on by what the settings said, and so does one of a second run --system")
def private(t):
    with office(t, {}) as (session, office_proxy):
        host, port = office_proxy.address
        for key, value in (("http host", host), ("http port", port), ("https host", host), ("https port", port)):
            session.set(f"{SCHEMA}.{key}", str(value))
        session.set(f"{SCHEMA} mode", "manual")
        session.before = session.all()
        # Both ask for what only the office's proxy reaches, the outer one while the inner one runs.
        fetch = f"gsettings get {SCHEMA}.http port; curl -sS http://{t.site}/hello"
        inner = f"{HALLPASS} run --system --no-config --listen 127.0.0.1:0 -- sh -c {shlex.quote(fetch)}"
        script = f"{fetch}; {inner}; {fetch}"
        run = subprocess.run([HALLPASS, "run", "--system", "--no-config", "--listen", "127.0.0.1:0", "--", "sh", "-c", script],
                             env=t.env(**session.variables), capture_output=True, text=True, timeout=30)
        said = run.stdout.splitlines()
        equal(said[1::2], ["hello from the origin"] * 3, f"the answers, {run.stderr}")
        equal(len(set(said[::2])), 1, "relays that were named")
        assert said[0] != str(port), said
        assert "for another hallpass run --system that still runs" in run.stderr, run.stderr
        session.restored()
    equal(len(passed("ntlm", t.site, 3)), 3, "requests in the proxy's log")


@test("without a desktop, without a bus or with a state directory that cannot be written run --system sets nothing, starts nothing and says why")
def impossible(t):
    with office(t) as (session, relay):
        marker = t.dir / "started"
        # A disk without room for another file.
        (t.dir / "full").mkdir()
        t.run("mount", "-t", "tmpfs", "-o", "size=4k", "full", t.dir / "full")
        (t.dir / "full/hallpass").mkdir()
        (t.dir / "full/hallpass/system-proxy.json.lock").touch()
        (t.dir / "full/filler").write_bytes(b"x" * 4096)
        for change, why in (
            ({"DBUS_SESSION_BUS_ADDRESS": "", "XDG_CURRENT_DESKTOP": "", "DISPLAY": "", "WAYLAND_DISPLAY": ""}, "there are no desktop settings to change here"),
            ({"DBUS_SESSION_BUS_ADDRESS": f"unix:path={t.dir}/nobody"}, "did not take the value that was set"),
            ({"XDG_STATE_HOME": "/proc/nowhere"}, "cannot be written"),
            ({"XDG_STATE_HOME": str(t.dir / "full")}, "cannot be written"),
        ):
            ran = subprocess.run([HALLPASS, "run", "--system", "--listen", "%s:%d" % relay.address, "--", "touch", marker],
                                 env=t.env(**{**session.variables, **change}), capture_output=True, text=True)
            equal(ran.returncode, 1, ran.stderr)
            assert why in ran.stderr, ran.stderr
            equal(session.all(), session.before, "the settings")
            assert not marker.exists() and not session.journal.exists() and not session.entry.exists()
        t.run("umount", t.dir / "full")
