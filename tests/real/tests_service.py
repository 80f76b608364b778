"""hallpass as a service under a real systemd: of the machine and of a user."""
import os
import re
import signal
import threading
import time

from harness import ROOT, equal, test, wait_for
from machine import PROGRAM, Machine

UNIT = "/etc/systemd/system/hallpass.service"
CONFIG = "/etc/hallpass/hallpass.toml"
SERVES_ALL = '[access]\nusers = "any"\n'

# A proxy on the machine that lets nobody through without this account's password in Basic, and answers requests itself.
GUARDED = """
import base64, http.server, sys
wanted = 'Basic ' + base64.b64encode(sys.argv[2].encode()).decode()
class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        shown = self.headers.get('Proxy-Authorization')
        known = shown == wanted
        if shown:
            open(sys.argv[3], 'a').write('known\\n' if known else 'unknown\\n')
        body = b'let through' if known else b'who?'
        self.send_response(200 if known else 407)
        if not known:
            self.send_header('Proxy-Authenticate', 'Basic realm="x"')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Proxy).serve_forever()
"""


def healthz(machine, port=3128):
    return machine.say(f"curl -sS -m 20 http://127.0.0.1:{port}/healthz", check=False)


def holds(text, *words):
    for word in words:
        assert word in text, f"{word!r} is not in:\n{text}"


def of_hallpass(machine):
    """Every file with the name, but for what the test brought."""
    found = machine.say("find / -xdev -name '*hallpass*' -not -path '/proc/*' -not -path '/sys/*' | sort").splitlines()
    return [path for path in found if path not in ("/opt/hallpass", PROGRAM)]


@test("systemd finds nothing wrong with the units, and rates the machine's exposure below 2.0", alone=True, stage="machine")
def verified(t):
    with Machine(t) as machine:
        machine.say("ln -s /usr/local/bin/hallpass /usr/bin/hallpass")
        for scope, flag in (("system", "--system"), ("user", "--user")):
            for file in sorted((ROOT / "packaging" / "systemd" / scope).iterdir()):
                machine.write(f"/tmp/{scope}/{file.name}", file.read_text())
            said = machine.say(f"cd /tmp/{scope} && XDG_RUNTIME_DIR=/tmp systemd-analyze {flag} --man=no verify ./hallpass.service ./hallpass.socket")
            equal(said, "", f"what systemd-analyze says of the units in {scope}")
        said = machine.say("systemd-analyze security --no-pager --offline=true --threshold=20 /tmp/system/hallpass.service")
        figure = float(re.search(r"Overall exposure level for hallpass.service: ([0-9.]+)", said)[1])
        t.notes.append(f"exposure {figure}")
        assert figure < 2.0, said


@test("a service of the machine is installed, told from others' files, reloaded, stopped within 2 s and removed without a trace",
      alone=True, stage="machine")
def of_the_machine(t):
    with Machine(t) as machine:
        code, said = machine.run(PROGRAM, "service", "status")
        equal(code, 3, said)
        holds(said, "not installed")
        code, said = machine.run(PROGRAM, "service", "install")
        equal(code, 1, said)
        holds(said, "it is installed and does not run", "must be told whom it serves")
        machine.write(CONFIG, 'profile = "office"\n[profiles.office]\n[access]\nusers = ["alice", "root"]\n')
        # What others could change would be theirs to choose, and what they cannot read, systemctl does not show them.
        machine.say(f"install -D -m 755 {PROGRAM} /opt/tools/hallpass; chown alice /opt/tools")
        code, said = machine.run("/opt/tools/hallpass", "service", "install")
        equal(code, 1, said)
        holds(said, "others than root may change /opt/tools", "sudo install -m 755 /opt/tools/hallpass /usr/local/bin/hallpass")
        equal(machine.show("LoadState"), "loaded", "the unit, which failed for want of users")
        machine.say("rm -r /opt/tools")
        machine.say(f"{PROGRAM} service uninstall")
        holds(machine.say(f"umask 077; {PROGRAM} service install"), "it is started")
        equal(machine.say(f"stat -c %a {UNIT}"), "644")
        equal(machine.say("systemctl show -P LoadState hallpass.service", user="alice"), "loaded")
        equal(machine.show("ActiveState"), "active")
        holds(machine.show("StatusText"), "listening on 127.0.0.1:3128", "profile office")
        code, said = machine.run(PROGRAM, "service", "status")
        equal(code, 0, said)
        holds(said, UNIT, "with the machine", f"pid {machine.show('MainPID')}", "listening on 127.0.0.1:3128")
        # Whoever is served finds it, and whoever is not is told so: the fence leaves the owners of connections to be seen.
        holds(machine.say(f"{PROGRAM} status", user="alice"), "is serving on 127.0.0.1:3128")
        code, said = machine.run(PROGRAM, "status", user="bob")
        assert code != 0 and "may not use this relay" in said, said
        holds(machine.say("cat /run/hallpass/*.json", user="bob"), '"listen":["127.0.0.1:3128"')

        machine.write(CONFIG, 'listen = "127.0.0.1:3129"\n' + SERVES_ALL)
        wait_for("the relay to move by itself", lambda: healthz(machine, 3129) == "alive")
        machine.write(CONFIG, 'listen = "127.0.0.1:3130"\n' + SERVES_ALL)
        machine.say("systemctl reload hallpass")
        wait_for("the reload", lambda: healthz(machine, 3130) == "alive")
        wait_for("systemd to hear of it", lambda: machine.show("StatusText") == "listening on 127.0.0.1:3130")
        holds(machine.say(f"{PROGRAM} status", user="bob"), "3130")

        before = machine.show("MainPID")
        holds(machine.say(f"{PROGRAM} service install"), "is what is wanted already", "it runs")
        equal(machine.show("MainPID"), before, "the process after nothing was changed")
        holds(machine.say(f"{PROGRAM} service install --log debug"), "is written anew", "it is started anew")
        holds(machine.say(f"cat {UNIT}"), f"ExecStart={PROGRAM} serve --log debug\n")
        machine.say(f"echo '# by hand' >> {UNIT}")
        code, said = machine.run(PROGRAM, "service", "install")
        equal(code, 1, said)
        holds(said, f"somebody has changed {UNIT}", "--replace")
        machine.say(f"{PROGRAM} service install --replace")

        # A mask is left alone: refused where the unit is wanted, before anything is written, and passed over elsewhere.
        machine.say("systemctl mask hallpass.socket")
        code, said = machine.run(PROGRAM, "service", "install", "--sockets", "--log", "trace")
        equal(code, 1, said)
        holds(said, "hallpass.socket is masked", "systemctl unmask hallpass.socket")
        assert "trace" not in machine.say(f"cat {UNIT}"), "half an installation"
        holds(machine.say(f"{PROGRAM} service install --log debug"), "is written anew", "it is started anew")
        holds(machine.say(f"{PROGRAM} service uninstall"), f"{UNIT} is removed", "hallpass.socket is not ours and stays")
        equal(machine.show("LoadState"), "not-found")
        machine.say("systemctl unmask hallpass.socket")
        holds(machine.say(f"{PROGRAM} service install"), "it is started")

        begun = time.monotonic()
        holds(machine.say(f"{PROGRAM} service stop"), "it is stopped")
        took = time.monotonic() - begun
        t.notes.append(f"stopped after {took:.2f} s")
        assert took < 2, f"{took:.1f} s to stop"
        equal(machine.run(PROGRAM, "service", "status")[0], 3)
        holds(machine.say(f"{PROGRAM} service start"), "it is started")
        code, said = machine.run(PROGRAM, "service", "uninstall", "--system", user="alice")
        assert code == 1 and "root alone" in said, said
        holds(machine.say(f"{PROGRAM} service uninstall"), "/var/lib/hallpass stays; --purge removes it")
        holds(machine.say(f"{PROGRAM} service uninstall --purge"), "/var/lib/private/hallpass is removed")
        equal(of_hallpass(machine), ["/etc/hallpass", CONFIG], "what is left")
        assert machine.show("LoadState") == "not-found"


@test("a relay that hangs is ended by systemd's watchdog and started anew, and one that works is not", alone=True, stage="machine")
def watchdog(t):
    with Machine(t) as machine:
        machine.write(CONFIG, SERVES_ALL)
        machine.write("/etc/systemd/system/hallpass.service.d/watchdog.conf", "[Service]\nWatchdogSec=1s\nRestartSec=100ms\n")
        machine.say(f"{PROGRAM} service install")
        first = machine.show("MainPID")
        # When systemd has last heard a sign of life, in microseconds.
        heard = lambda: int(machine.show("WatchdogTimestampMonotonic"))
        from_then = heard()
        wait_for("signs of life for four times the watchdog's patience", lambda: heard() - from_then > 4_000_000, 30)
        equal(machine.show("MainPID"), first, "the process after four times the watchdog's patience")
        begun = time.monotonic()
        machine.say(f"kill -STOP {first}")
        wait_for("another process", lambda: machine.show("MainPID") not in ("0", first), 20)
        t.notes.append(f"another one {time.monotonic() - begun:.1f} s after it hung")
        wait_for("the relay", lambda: healthz(machine) == "alive")
        holds(machine.say("journalctl --no-pager -o cat -u hallpass"), "Watchdog timeout")
        holds(machine.say(f"{PROGRAM} service status"), "restarts after failures: 1")


@test("a password that only root can read reaches the relay as a credential, plain or encrypted, and its lack does not keep the relay down",
      alone=True, stage="machine")
def credentials(t):
    with Machine(t) as machine:
        shown = t.dir / "shown"
        proxy = machine.server(GUARDED, 8888, "svc:Machine-Pw-1", shown)
        try:
            ask = "curl -sS -m 20 -x http://127.0.0.1:3128 http://somewhere.test/"

            def configure(name):
                machine.write(CONFIG, '[upstreams.office]\nurl = "http://127.0.0.1:8888"\nschemes = ["basic"]\n[credentials.c]\nuser = "svc"\n'
                              f'password = "${{credential:{name}}}"\n{SERVES_ALL}')
            configure("hallpass.password")
            machine.say(f"{PROGRAM} service install")
            holds(machine.say(ask), "the systemd credential hallpass.password is not there")
            machine.write("/etc/credstore/hallpass.password", "Machine-Pw-1\n", 0o600)
            machine.say("systemctl restart hallpass")
            equal(machine.say(ask), "let through")
            # Those of the user's commands that read the configuration need not read the secret.
            holds(machine.say(f"{PROGRAM} status", user="alice"), "is serving on")
            configure("hallpass.encrypted-password")
            machine.say("mkdir -p -m 700 /etc/credstore.encrypted; printf Machine-Pw-1 | systemd-creds encrypt "
                        "--name=hallpass.encrypted-password - /etc/credstore.encrypted/hallpass.encrypted-password")
            machine.say("rm /etc/credstore/hallpass.password; systemctl restart hallpass")
            equal(machine.say(ask), "let through")
            # A wrong one is shown once, and once more when root asks for it.
            configure("hallpass.password")
            machine.write("/etc/credstore/hallpass.password", "wrong\n", 0o600)
            machine.say("systemctl restart hallpass")
            for _ in range(3):
                machine.say(ask)
            equal(shown.read_text().count("unknown"), 1, "wrong passwords shown")
            holds(machine.say(f"{PROGRAM} status --retry"), "/var/lib/hallpass")
            wait_for("another try", lambda: machine.say(ask) and shown.read_text().count("unknown") == 2)
        finally:
            proxy.kill()
            proxy.wait()


@test("with sockets of systemd's, a restart loses no connection, a kill -9 at most the one in its hands, and others than loopback are refused", alone=True, stage="machine")
def sockets(t):
    with Machine(t) as machine:
        machine.write(CONFIG, SERVES_ALL)
        holds(machine.say(f"{PROGRAM} service install --sockets"), "hallpass.socket is written")
        equal(machine.show("ActiveState", "hallpass.socket"), "active")
        answers, ended = [], threading.Event()

        def ask():
            while not ended.is_set():
                answers.append(healthz(machine))
        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for act in ("systemctl restart hallpass", "systemctl kill -s KILL hallpass", "systemctl reload hallpass"):
                begun = len(answers)
                machine.say(act)
                wait_for("clients", lambda: len(answers) > begun + 20, 30)
        finally:
            ended.set()
            asking.join()
        t.notes.append(f"{len(answers)} connections")
        # One client asks one question at a time, so what was killed had one to answer at most.
        broken = [answer for answer in answers if answer != "alive"]
        assert all("reset by peer" in answer or "Empty reply" in answer for answer in broken) and len(broken) <= 1, broken

        # A first client starts it.
        machine.say("systemctl stop hallpass.service", check=False)
        equal(machine.show("ActiveState"), "inactive")
        equal(healthz(machine), "alive")
        holds(machine.say(f"{PROGRAM} service stop"), "it is stopped")
        holds(healthz(machine), "Failed to connect")

        # What nothing is configured for: on loopback it is served, as systemd listens there in any case.
        more = "/etc/systemd/system/hallpass.socket.d/more.conf"
        machine.write(more, "[Socket]\nListenStream=127.0.0.1:4000\n")
        machine.say("systemctl daemon-reload; systemctl start hallpass.socket")
        equal(healthz(machine, 4000), "alive")
        holds(machine.show("StatusText"), "127.0.0.1:4000")
        machine.say("systemctl stop hallpass.socket hallpass.service")
        machine.write(more, "[Socket]\nListenStream=0.0.0.0:4000\n")
        machine.say("systemctl daemon-reload; systemctl start hallpass.socket; systemctl reset-failed hallpass")
        code, said = machine.run(PROGRAM, "service", "start")
        equal(code, 1, said)
        holds(said, "a socket at 0.0.0.0:4000 was handed over", "allow in [access]")


@test("a stop waits for the grace of the configuration, also where the unit has less patience", alone=True, stage="machine")
def patience(t):
    with Machine(t) as machine:
        machine.write(CONFIG, 'grace = "6s"\n' + SERVES_ALL)
        machine.write("/etc/systemd/system/hallpass.service.d/short.conf", "[Service]\nTimeoutStopSec=2s\n")
        machine.say(f"{PROGRAM} service install")
        # A tunnel to the relay's machine itself that says nothing.
        machine.say("systemd-run --quiet --unit=far /bin/bash -c 'exec 3<>/dev/tcp/127.0.0.1/3128; "
                    "printf \"CONNECT localhost:22222 HTTP/1.1\\r\\n\\r\\n\" >&3; head -1 <&3; cat <&3'", check=False)
        listening = machine.server("import socket, time\ns = socket.create_server(('127.0.0.1', 22222))\nc, _ = s.accept()\ntime.sleep(60)")
        try:
            machine.say("systemctl stop far; systemctl reset-failed far", check=False)
            wait_for("the far end", lambda: "22222" in machine.say("ss -Hltn sport = :22222"))
            machine.say("systemd-run --quiet --unit=client /bin/bash -c 'exec 3<>/dev/tcp/127.0.0.1/3128; "
                        "printf \"CONNECT localhost:22222 HTTP/1.1\\r\\n\\r\\n\" >&3; cat <&3'")
            wait_for("the tunnel", lambda: "1 tunnel," in machine.say(f"{PROGRAM} status"))
            begun = time.monotonic()
            machine.say("systemctl stop hallpass", seconds=90)
            took = time.monotonic() - begun
            t.notes.append(f"stopped after {took:.1f} s")
            assert 5.5 < took < 30, f"{took:.1f} s to stop"
            equal(machine.show("Result"), "success")
        finally:
            listening.kill()
            listening.wait()


@test("a user's service comes with the session, not where the machine's relay is enabled, and goes without a trace", alone=True, stage="machine")
def of_a_user(t):
    with Machine(t) as machine:
        code, said = machine.run(PROGRAM, "service", "install", user="alice")
        equal(code, 1, said)
        holds(said, "nobody runs services of user 1000", "loginctl enable-linger 1000")
        # With old control groups, a container's systemd may never hear that the last process of a user's manager has gone.
        machine.write("/etc/systemd/system/user@.service.d/stop.conf", "[Service]\nTimeoutStopSec=1s\n")
        machine.say("systemctl daemon-reload; loginctl enable-linger alice")
        wait_for("the user's manager", lambda: machine.run("test", "-S", "/run/user/1000/systemd/private")[0] == 0, 30)
        account = "'CORP\\al$ce 100%'"
        code, said = machine.run("bash", "-c", f"{PROGRAM} service install --upstream 127.0.0.1:9 --account {account}", user="alice")
        equal(code, 0, f"{said}\n{machine.journal()}")
        pid = re.search(r"pid (\d+)", machine.say(f"{PROGRAM} service status", user="alice"))[1]
        words = machine.say(f"tr '\\0' '\\n' < /proc/{pid}/cmdline").splitlines()
        equal(words, [PROGRAM, "serve", "--upstream", "127.0.0.1:9", "--user", "CORP\\al$ce 100%"], "how it was started")
        equal(machine.say(f"stat -c %U /proc/{pid}"), "alice")
        holds(machine.say(f"{PROGRAM} status", user="alice"), "is serving on")
        code, said = machine.run(PROGRAM, "service", "install", "--listen", "nowhere", user="alice")
        equal(code, 1, said)
        holds(said, "it is installed and does not run", "--listen")

        # With the session again.
        machine.say(f"{PROGRAM} service install --sockets", user="alice")
        machine.say("systemctl restart user@1000")
        wait_for("the relay", lambda: healthz(machine) == "alive")

        # Where the machine's is enabled, it serves alice too.
        machine.write(CONFIG, SERVES_ALL)
        machine.say("systemctl stop user@1000")
        machine.say(f"{PROGRAM} service install --system")
        machine.say("systemctl start user@1000")
        code, said = machine.run(PROGRAM, "service", "start", user="alice")
        equal(code, 1, said)
        holds(said, "a relay of the machine serves everybody here")
        code, said = machine.run(PROGRAM, "service", "status", user="alice")
        equal(code, 3, said)
        holds(said, "service status --system")
        machine.say(f"{PROGRAM} service uninstall --purge")
        machine.say(f"{PROGRAM} service start", user="alice")
        machine.say(f"{PROGRAM} service uninstall --purge", user="alice")
        equal(of_hallpass(machine), ["/etc/hallpass", CONFIG], "what is left")
