"""What the tests are written with: a relay under test, clients, and eyes on Squid's logs, the directory and the origin."""
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from layout import ACCOUNTS, CA, OWN_SITES, RAW_PORT, RUN, SQUIDS
from support import network
from support.facts import ROOT, equal, hallpass, waiter   # some of it for the tests, which take it from here
from support.network import read_head

HALLPASS = str(hallpass("debug"))
NPM = ROOT / "target" / "real" / "npm" / "node_modules"
SAM = "/var/lib/samba/private/sam.ldb"
CA_FILE = CA / "ca.pem"
MIB = 1 << 20

TESTS = []


def test(sentence, each=(None,), alone=False, background=False, soak=False, stage="bed"):
    """Registers a test. `{}` in the sentence stands for each of `each`; `alone`: it measures time, nothing else may run.
    `stage`: "bed", "places" for a test that brings its own networks, "machine" for one that brings its own machine, or "windows" for one in
    the bed that needs what is built for Windows."""
    def register(function):
        for case in each:
            name = sentence.replace("{}", str(case)) if case is not None else sentence
            run = function if case is None else lambda t, case=case: function(t, case)
            TESTS.append(Case(name, run, alone, background, soak, stage))
        return function
    return register


@dataclass
class Case:
    name: str
    run: object
    alone: bool
    background: bool
    soak: bool
    stage: str


wait_for = waiter(10, pause=0.01)


# ---- one test ------------------------------------------------------------------------------------------------------

class Test:
    """What one test has to itself: a directory, a site, a ticket cache, and the processes it starts."""
    lock = threading.Lock()

    def __init__(self, notes):
        with Test.lock:   # numbers go on from run to run while the bed is up: each site is asked for by one test only
            count = RUN / "tests" / "count"
            self.number = int(count.read_text()) if count.exists() else 0
            count.write_text(str(self.number + 1))
        assert self.number < OWN_SITES, "the bed has no unused site left: tests/real/bed down"
        self.dir = RUN / "tests" / str(self.number)
        self.dir.mkdir(parents=True)
        self.site = f"t{self.number}.origin.test"
        self.ccache = self.dir / "ccache"
        self.relays = []
        self.notes = notes   # figures for whoever reads the result

    def relay(self, *upstreams, **options):
        relay = Relay(self, upstreams, **options)
        self.relays.append(relay)
        return relay

    def close(self):
        for relay in self.relays:
            relay.stop()

    def env(self, **more):
        """An environment without anything of the caller's."""
        return {"PATH": f"{NPM}/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.dir),
                "LANG": "C.UTF-8", "KRB5CCNAME": f"FILE:{self.ccache}", "TMPDIR": str(self.dir), **more}

    def run(self, *command, stdin=None, seconds=60, check=True, **env):
        done = subprocess.run([str(c) for c in command], cwd=self.dir, env=self.env(**env), input=stdin, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds)
        assert not check or done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stdout[-2000:]}"
        return done.stdout

    def curl(self, relay, url, *options):
        """One transfer by curl through the relay."""
        body, head = self.dir / "curl.body", self.dir / "curl.head"
        body.unlink(missing_ok=True)
        command = ["curl", "-sS", "-x", relay.url, "--noproxy", "", "--cacert", CA_FILE, "--max-time", "60", "-o", body, "-D", head,
                   "-w", "%{json}", *options, url]
        done = subprocess.run([str(c) for c in command], env=self.env(), capture_output=True, text=True)
        facts = json.loads(done.stdout)
        return Answer(done.returncode, facts["http_code"], facts["http_connect"], body.read_bytes() if body.exists() else b"",
                      head.read_text() if head.exists() else "", facts["time_total"], done.stderr)

    # ---- tickets

    def kinit(self, user="alice", *options):
        self.run("kinit", *options, f"{user}@CORP.TEST", stdin=ACCOUNTS[user] + "\n")

    def has_ticket(self):
        return subprocess.run(["klist", "-s"], env=self.env()).returncode == 0

    # ---- raw sockets

    def tunnel(self, relay, host=None, port=RAW_PORT):
        """A socket after CONNECT through the relay."""
        host = host or self.site
        connection = socket.create_connection(relay.address, timeout=60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        network.tunnel(connection, host, port)
        return connection

    def tls(self, connection):
        return ssl.create_default_context(cafile=CA_FILE).wrap_socket(connection, server_hostname=self.site)


@dataclass
class Answer:
    exit: int
    status: int
    connect: int   # the status of the answer to CONNECT, 0 without one
    body: bytes
    head: str      # of all answers, the one to CONNECT included
    seconds: float
    stderr: str

    def json(self):
        assert self.exit == 0 and self.status == 200, f"{self}"
        return json.loads(self.body)

    def header(self, name):
        """The last value of a header, or None."""
        found = re.findall(rf"(?im)^{name}:[ \t]*(.*?)\r?$", self.head)
        return found[-1] if found else None


# ---- the relay under test ------------------------------------------------------------------------------------------

class Relay:
    """A hallpass with its own directories, on a port the kernel gives, in front of the named Squids."""

    def __init__(self, test, upstreams, user=None, password=None, schemes=None, env=None, upstream=None, keys="", tables="", **credential):
        self.dir = test.dir / f"relay-{len(test.relays)}"
        if user:
            credential["user"] = user
        if user in ACCOUNTS and password is None and not credential.keys() & {"nt_hash", "keytab"}:
            password = ACCOUNTS[user]
        self.dir.mkdir()
        if password is not None:
            secret = self.dir / "password"
            secret.touch(0o600)
            secret.write_text(password)
            credential["password"] = f"${{file:{secret}}}"
        self.launch(test, keys + "".join(self.toml(upstreams, schemes, upstream or {}, credential)) + tables, env=env)

    def launch(self, test, toml, listen="127.0.0.1:0", within=(), flags=(), env=None):
        """`within`: a command that runs the relay elsewhere, as the process that it is itself."""
        self.started_by = lambda: self.launch(test, toml, listen, within, flags, env)
        runtime, config = self.dir / "run", self.dir / "hallpass.toml"
        runtime.mkdir(0o700, exist_ok=True)
        config.write_text(toml)
        config.chmod(0o600)
        self.log = self.dir / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*within, HALLPASS, "serve", "--config", config, "--listen", listen, *flags], cwd=self.dir, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
                env=test.env(**{"XDG_RUNTIME_DIR": str(runtime), "XDG_STATE_HOME": str(self.dir / "state"),
                                "XDG_CONFIG_HOME": str(self.dir / "config"), "RUST_BACKTRACE": "1", **(env or {})}))
        self.facts = runtime / "hallpass" / f"{self.process.pid}.json"
        self.address = wait_for("the relay to listen", self.listening)
        self.url = "http://%s:%d" % self.address

    def kill_and_restart(self):
        """kill -9, and the same again: what it knows afterwards stands on disk."""
        self.process.kill()
        self.process.wait()
        self.started_by()

    def set_password(self, password):
        """Where the relay reads it; nobody tells the relay."""
        fresh = self.dir / "password.new"
        fresh.touch(0o600)
        fresh.write_text(password)
        fresh.rename(self.dir / "password")

    def toml(self, upstreams, schemes, more, credential):
        quote = lambda value: json.dumps(value, ensure_ascii=False)
        yield 'grace = "0s"\n'
        for name in upstreams:
            keys = {"url": SQUIDS[name].url}
            if SQUIDS[name].tls:
                keys["ca_file"] = str(CA_FILE)
            if schemes:
                keys["schemes"] = schemes
            yield f"[upstreams.{name}]\n"
            for key, value in {**keys, **more}.items():
                yield f"{key} = {quote(value)}\n"
        yield "[credentials.corp]\n"
        for key, value in credential.items():
            yield f"{key} = {quote(value)}\n"

    def listening(self):
        assert self.process.poll() is None, f"the relay ended with {self.process.returncode}:\n{self.log.read_text()}"
        try:
            host, _, port = json.loads(self.facts.read_text())["listen"][0].rpartition(":")
            return host, int(port)
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def way(self, what):
        """Where it listens for something else than HTTP: `SOCKS5`, or a tunnel's target."""
        listens = re.compile(rf"listening for {re.escape(what)} on ([0-9.]+):(\d+)")
        found = wait_for(f"a line that it listens for {what}", lambda: listens.search(self.log.read_text()))
        return found[1], int(found[2])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def audit(self):
        """The audit records so far."""
        records = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        return [record for record in records if "end" in record]

    def memory(self, field):
        """`VmRSS` now or `VmHWM` at most, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) * 1024

    def forget_peak(self):
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def sockets(self):
        """Its TCP connections as `ss` shows them, timers included."""
        out = subprocess.run(["ss", "-tnopH", "state", "established"], capture_output=True, text=True, check=True).stdout
        return [line for line in out.splitlines() if f"pid={self.process.pid}," in line]


# ---- eyes ----------------------------------------------------------------------------------------------------------

@dataclass
class Entry:
    """One line of a Squid's access log."""
    status: int
    method: str
    url: str
    user: str
    auth: str
    connection: int

    @property
    def scheme(self):
        for start, name in (("Negotiate YI", "Kerberos"), ("Negotiate TlRM", "NTLM in Negotiate"), ("Negotiate", "Negotiate"),
                            ("NTLM", "NTLM"), ("Digest", "Digest"), ("Basic", "Basic"), ("-", "none")):
            if self.auth.startswith(start):
                return name
        return self.auth


LINE = re.compile(r"\S+ (\d+) (\S+) (\S+) user=(.*) auth=\[(.*)\] conn=(\d+) ")


def squid_log(kind, site):
    """The log's lines about a site, oldest first. A tunnel is there once it has ended."""
    entries = []
    for line in SQUIDS[kind].log.read_text(errors="replace").splitlines():
        status, method, url, user, auth, connection = LINE.match(line).groups()
        if re.search(rf"(^|/){re.escape(site)}[:/]", url):
            entries.append(Entry(int(status), method, url, user, auth, int(connection)))
    return entries


def passed(kind, site, count=1):
    """The lines of requests that were let through, waited for."""
    def enough():
        found = [entry for entry in squid_log(kind, site) if entry.status != 407]
        return found if len(found) >= count else None
    return wait_for(f"{count} requests in the log of {kind}", enough)


def schemes_tried(kind, site):
    return {entry.scheme for entry in squid_log(kind, site)} - {"none"}


def bad_logons(user):
    """The directory's count of wrong passwords."""
    out = subprocess.run(["ldbsearch", "-H", SAM, f"(sAMAccountName={user})", "badPwdCount"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"badPwdCount: (\d+)", out)
    return int(found[1]) if found else 0


def unlock(user):
    """Takes back wrong passwords; tries still on their way count after it, so it looks again."""
    dn = f"CN={user},CN=Users,DC=corp,DC=test"
    def clean():
        ldif = "".join(f"dn: {dn}\nchangetype: modify\nreplace: {field}\n{field}: 0\n\n" for field in ("lockoutTime", "badPwdCount"))
        subprocess.run(["ldbmodify", "-H", SAM, "--relax"], input=ldif, text=True, capture_output=True, check=True)
        time.sleep(0.3)
        return bad_logons(user) == 0
    wait_for(f"{user} to be unlocked", clean)


def origin_log(host):
    """What the origin saw for a host."""
    lines = map(json.loads, (RUN / "log" / "origin.log").read_text().splitlines())
    return [line for line in lines if line["host"] == host]


_random = {}


def random_file(size):
    """A file of that many random bytes and its SHA-256."""
    import hashlib
    with Test.lock:
        if size not in _random:
            path = RUN / "tests" / f"random-{size}-{os.getpid()}"
            data = os.urandom(size)
            path.write_bytes(data)
            _random[size] = path, hashlib.sha256(data).hexdigest()
    return _random[size]
