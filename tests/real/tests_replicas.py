"""A shared relay: three replicas behind HAProxy, with the account of a service, that are replaced, killed and given another password."""
import base64
import contextlib
import datetime
import os
import shutil
import socket
import subprocess
import threading
import time

import harness
from harness import HALLPASS, ROOT, bad_logons, equal, read_head, test, unlock, wait_for
from layout import ACCOUNTS, RAW_PORT, SQUIDS
from tests_lockout import WRONG, change_in_directory, works

BALANCER, REPLICAS, PORT = "10.244.0.5", ("10.244.0.11", "10.244.0.12", "10.244.0.13"), 3128
TOKEN = "t0ken-of-the-team"
LOGIN = "Proxy-Authorization: Basic " + base64.b64encode(f"x:{TOKEN}".encode()).decode()
# Of which a client is cut `DELAY + GRACE` after the signal, and not before.
DELAY, GRACE = 2, 8
# A replica that stays away is noticed after two looks, well within DELAY.
HAPROXY = f"""\
global
    stats socket {{directory}}/haproxy.sock
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    retries 3
    option redispatch
frontend relay
    bind {BALANCER}:{PORT}
    default_backend replicas
backend replicas
    balance leastconn
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter 300ms fall 2 rise 1
""" + "".join(f"    server r{at} {address}:{PORT}\n" for at, address in enumerate(REPLICAS))


class Mounted:
    """A directory as Kubernetes mounts a Secret: files that are links through `..data`, which is replaced as a whole."""

    def __init__(self, directory, **files):
        self.directory, self.versions = directory, 0
        directory.mkdir()
        for name in files:
            (directory / name).symlink_to(f"..data/{name}")
        self.put(**files)

    def put(self, **files):
        self.versions += 1
        version = self.directory / f"..version_{self.versions}"
        version.mkdir(0o700)
        for name, text in files.items():
            (version / name).touch(0o600)
            (version / name).write_text(text)
        link = self.directory / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self.directory / "..data")


class Replica(harness.Relay):
    def __init__(self, t, address, account, secret):
        self.dir = t.dir / f"relay-{len(t.relays)}"
        self.dir.mkdir()
        t.relays.append(self)
        self.launch(t, configuration(account, secret), f"{address}:{PORT}")

    def says(self, words):
        return wait_for(f"the log to say {words!r}", lambda: words in self.log.read_text())


def configuration(account, secret):
    return f"""\
grace = "{GRACE}s"
drain_delay = "{DELAY}s"
[upstreams.office]
url = "{SQUIDS['ntlm'].url}"
[credentials.service]
user = 'CORP\\{account}'
password = "${{file:{secret}/password}}"
[access]
users = "any"
allow = ["10.244.0.0/16"]
token = "${{file:{secret}/token}}"
"""


class Stage:
    def __init__(self, t, account):
        self.t, self.account = t, account
        unlock(account)
        self.secret = Mounted(t.dir / "secret", password=ACCOUNTS[account], token=TOKEN)
        for address in (BALANCER, *REPLICAS):
            subprocess.run(["ip", "address", "replace", f"{address}/32", "dev", "lo"], check=True)
        self.replicas = {address: self.replica(address) for address in REPLICAS}
        config = t.dir / "haproxy.cfg"
        config.write_text(HAPROXY.format(directory=t.dir))
        self.haproxy = subprocess.Popen(["haproxy", "-db", "-q", "-f", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the balancer to see all replicas", lambda: self.up() == 3)

    def replica(self, address):
        return Replica(self.t, address, self.account, self.secret.directory)

    def up(self):
        """How many replicas the balancer would choose."""
        try:
            with socket.socket(socket.AF_UNIX) as statistics:
                statistics.connect(str(self.t.dir / "haproxy.sock"))
                statistics.sendall(b"show stat\n")
                lines = statistics.makefile().read().splitlines()
        except OSError:
            return 0
        return sum(line.startswith("replicas,r") and ",UP," in line for line in lines)

    def close(self):
        self.haproxy.kill()
        self.haproxy.wait()
        # Those that drain would take their time.
        for replica in self.t.relays:
            replica.process.kill()
            replica.process.wait()
        for address in (BALANCER, *REPLICAS):
            subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=True)


@contextlib.contextmanager
def three(t, account):
    stage = Stage(t, account)
    try:
        yield stage
    finally:
        stage.close()


def connect(t, address=BALANCER):
    """A connection after a CONNECT, and the status of the answer to that."""
    connection = socket.create_connection((address, PORT), timeout=20)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        target = f"{t.site}:{RAW_PORT}"
        connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{LOGIN}\r\n\r\n".encode())
        return connection, int(read_head(connection).split()[1])
    except BaseException:
        connection.close()
        raise


def status(t, address=BALANCER):
    connection, status = connect(t, address)
    connection.close()
    return status


def get(t, address=BALANCER):
    with socket.create_connection((address, PORT), timeout=20) as connection:
        connection.sendall(f"GET http://{t.site}/hello HTTP/1.1\r\nHost: {t.site}\r\nConnection: close\r\n{LOGIN}\r\n\r\n".encode())
        answer = connection.makefile("rb").read()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}\r\n".lower().encode() in head.lower() + b"\r\n", f"cut short: {answer!r}"
        return int(head.split()[1])


class Load:
    """Clients that ask for something short again and again, and once more where that fails, and tunnels that are never silent for long."""
    TRIES = 3

    def __init__(self, t, clients=6, tunnels=12):
        self.t, self.stopped, self.lock = t, threading.Event(), threading.Lock()
        self.done, self.repeated, self.lost, self.cut = 0, [], [], 0
        self.threads = [threading.Thread(target=self.short, args=((get, status)[at % 2],)) for at in range(clients)]
        self.threads += [threading.Thread(target=self.long) for _ in range(tunnels)]
        for thread in self.threads:
            thread.start()

    def short(self, request):
        while not self.stopped.is_set():
            failures = []
            for _ in range(self.TRIES):
                try:
                    found = request(self.t)
                    assert found == 200, f"status {found}"
                    break
                except (OSError, AssertionError) as error:
                    failures.append(repr(error))
            with self.lock:
                self.done += 1
                if len(failures) == self.TRIES:
                    self.lost.append(failures)
                elif failures:
                    self.repeated.append(failures)

    def long(self):
        while not self.stopped.is_set():
            try:
                connection, found = connect(self.t)
            except (OSError, AssertionError):
                continue
            with connection:
                assert found == 200, found
                try:
                    connection.sendall(b"echo\n")
                    while not self.stopped.wait(0.05):
                        connection.sendall(b"ping")
                        assert connection.recv(4, socket.MSG_WAITALL) == b"ping"
                except (OSError, AssertionError):
                    with self.lock:
                        self.cut += 1

    def goes_on(self, what, more=100):
        """A hundred requests more have ended."""
        before = self.done
        wait_for(what, lambda: self.done >= before + more, 30)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


@contextlib.contextmanager
def load(t):
    running = Load(t)
    try:
        yield running
    finally:
        running.stop()


def ended(record):
    return datetime.datetime.fromisoformat(record["time"]).timestamp() + record["total_ms"] / 1000


@test("three replicas behind a balancer are replaced one after the other under load: no request is lost, no tunnel is cut before its grace", alone=True)
def rolling(t):
    with three(t, "replicas-load") as stage, load(t) as running:
        running.goes_on("the load")
        signals = []
        for address, old in list(stage.replicas.items()):
            signals.append((old, time.time()))
            old.process.terminate()
            wait_for("the balancer to pass it over", lambda: stage.up() == 2)
            old.says("clients are still let in")
            wait_for("it to let nobody in", lambda: not accepts(address))
            # The old one goes on with its tunnels, as a pod that ends does.
            assert old.process.poll() is None, "it ended with tunnels open"
            stage.replicas[address] = stage.replica(address)
            wait_for("the balancer to take the new one", lambda: stage.up() == 3)
            running.goes_on("the load with a new replica")
        for old, _ in signals:
            wait_for("it to end", lambda: old.process.poll() is not None, DELAY + GRACE + 10)
            equal(old.process.returncode, 0, "its exit code")
        running.goes_on("the load on new replicas")
        running.stop()
        equal(running.lost, [], "requests that failed three times")
        drained = 0
        for old, signalled in signals:
            for record in old.audit():
                if record["end"] == "drained":
                    assert ended(record) >= signalled + DELAY + GRACE - 0.2, f"cut {ended(record) - signalled:.2f} s after the signal: {record}"
                    drained += 1
                assert record["end"] in ("done", "drained", "client_closed", "client_reset"), record
        equal(drained, running.cut, "tunnels that were cut, all by the end of a grace")
        assert drained > 0, "no tunnel was there to be cut"
        equal(bad_logons("replicas-load"), 0, "bad logons")
        t.notes.append(f"{running.done} requests, {len(running.repeated)} of them asked twice or more, 0 lost; {drained} tunnels cut, each at the end of the {GRACE} s")


def accepts(address):
    with socket.socket() as probe:
        return probe.connect_ex((address, PORT)) == 0


@test("a replica that is killed outright takes its tunnels along, and whoever asks again is served by the others", alone=True)
def killed(t):
    with three(t, "replicas-load") as stage, load(t) as running:
        running.goes_on("the load")
        stage.replicas[REPLICAS[1]].process.kill()
        wait_for("the balancer to pass it over", lambda: stage.up() == 2)
        running.goes_on("the load on two replicas")
        equal(running.lost, [], "requests that failed three times")
        repeated = len(running.repeated)
        running.goes_on("more of it")
        equal(len(running.repeated), repeated, "requests asked twice after the balancer had noticed")
        t.notes.append(f"{running.done} requests, {repeated} of them asked twice, 0 lost; {running.cut} tunnels went with it")


def lenient(account):
    """The bed locks accounts at the third bad logon; three replicas are to make three."""
    settings = ["samba-tool", "domain", "passwordsettings", "pso"]
    subprocess.run([*settings, "create", "replicas", "1", "--account-lockout-threshold=20"], capture_output=True)   # may be there
    subprocess.run([*settings, "apply", "replicas", account], capture_output=True)
    shown = subprocess.run([*settings, "show-user", account], capture_output=True, text=True, check=True).stdout
    assert "Account lockout threshold (attempts): 20" in shown, shown


@test("a password that changes with its file costs no bad logon, and one per replica where the directory is first, until the file follows", alone=True)
def rotated(t):
    account = "replicas-changed"
    lenient(account)
    change_in_directory(account, ACCOUNTS[account])
    with three(t, account) as stage:
        equal([status(t) for _ in range(30)], [200] * 30, "while it is good")
        tunnels = [connect(t)[0] for _ in range(6)]
        for tunnel in tunnels:
            tunnel.sendall(b"echo\n")
        # The directory and the file change, and nobody logs on in between.
        change_in_directory(account, "Second-Pw-2")
        stage.secret.put(password="Second-Pw-2", token=TOKEN)
        equal([status(t) for _ in range(30)] + [get(t) for _ in range(10)], [200] * 40, "with the next password")
        equal(bad_logons(account), 0, "bad logons where both change")
        # Half of a file is no password, also for whoever looks twice.
        stage.secret.put(password="", token=TOKEN)
        for replica in stage.replicas.values():
            replica.says("is empty: put the secret there; what was read from there before stays")
        equal([status(t) for _ in range(9)], [200] * 9, "with an empty file")
        stage.secret.put(password="Second-Pw-2", token=TOKEN)
        equal(bad_logons(account), 0, "bad logons")
        # Only the directory.
        change_in_directory(account, "Third-Pw-3")
        for _ in range(4):
            equal([status(t, address) for address in REPLICAS], [407] * 3, "with the former password")
        equal(bad_logons(account), 3, "bad logons where the directory is first: one of each replica")
        stage.secret.put(password="Third-Pw-3", token=TOKEN)
        equal([status(t) for _ in range(30)], [200] * 30, "as soon as the file follows")
        for tunnel in tunnels:
            tunnel.sendall(b"ping")
            equal(tunnel.recv(4, socket.MSG_WAITALL), b"ping", "a tunnel of the beginning")
            tunnel.close()
        equal([replica.process.poll() for replica in stage.replicas.values()], [None] * 3, "nobody was restarted")


@test("a keytab that is exchanged when the account gets another password costs no bad logon")
def keytab(t):
    account, path = "replicas-keytab", t.dir / "keytab"
    def exchange(password):
        change_in_directory(account, password)
        subprocess.run(["samba-tool", "domain", "exportkeytab", t.dir / "next", f"--principal={account}@CORP.TEST"], check=True, capture_output=True)
        (t.dir / "next").chmod(0o600)
        (t.dir / "next").rename(path)
    unlock(account)
    exchange(ACCOUNTS[account])
    relay = t.relay("negotiate", user=f"{account}@CORP.TEST", keytab=str(path))
    def noticed(times):
        wait_for("the next one to be noticed", lambda: relay.log.read_text().count("reloaded") == times)
    assert works(t, relay), "with the first keytab"
    shutil.copy(path, t.dir / "first")
    exchange("Second-Pw-2")
    # The ticket of the former one is as good as before, until what was made of that file is let go.
    noticed(1)
    assert works(t, relay), "with the next keytab"
    equal(bad_logons(account), 0, "bad logons")
    # And it is what the file holds that counts: the first one is good no more.
    (t.dir / "first").rename(path)
    noticed(2)
    assert not works(t, relay), "with the former keytab"
    equal(bad_logons(account), 1, "bad logons with the former keytab")


# What the program that plays kubectl does: builds for real, runs the Job's own command for real, and writes down what of the relay it
# was to apply.
KUBECTL = """#!/bin/bash
set -eu
here={directory}
case "$*" in
  kustomize*) exec /usr/bin/kubectl "$@" ;;
  apply*component!=relay*)
    grep -q -- '- --try' "$3"
    code=0
    env -i HOME=$here/job XDG_STATE_HOME=$here/job HALLPASS_CONFIG=$here/overlay/hallpass.toml {hallpass} config check --try {target} >$here/job.log 2>&1 || code=$?
    echo $code >$here/job.code ;;
  apply*component=relay*) touch $here/rolled-out ;;
  get*conditions*) [ "$(cat $here/job.code)" = 0 ] && echo Complete || echo Failed ;;
  get*) [ "$(cat $here/job.code)" = 0 ] && echo 1/ || echo /1 ;;
  logs*) cat $here/job.log ;;
esac
"""


@test("a wrong password in a rollout is the one bad logon of its Job, and no replica is touched", alone=True)
def rollout(t):
    account = "replicas-rollout"
    with three(t, account) as stage:
        equal([status(t, address) for address in REPLICAS], [200] * 3, "before")
        shutil.copytree(ROOT / "packaging" / "kubernetes", t.dir / "kubernetes")
        overlay = t.dir / "kubernetes" / "overlays" / "example"
        (t.dir / "overlay").symlink_to(overlay)
        secret = overlay / "secret"
        secret.mkdir(exist_ok=True)
        for name in ("password", "token"):
            (secret / name).touch(0o600)
        (secret / "token").write_text(TOKEN)
        (overlay / "hallpass.toml").write_text(configuration(account, secret))
        kubectl = t.dir / "bin" / "kubectl"
        kubectl.parent.mkdir()
        kubectl.write_text(KUBECTL.format(directory=t.dir, hallpass=HALLPASS, target=f"{t.site}:{RAW_PORT}"))
        kubectl.chmod(0o755)
        def rolled_out(password):
            (secret / "password").write_text(password)
            env = {**t.env(), "PATH": f"{kubectl.parent}:{os.environ['PATH']}"}
            done = subprocess.run([ROOT / "packaging" / "kubernetes" / "rollout", overlay], env=env, capture_output=True, text=True)
            return done.returncode, (t.dir / "rolled-out").exists(), done.stdout + done.stderr
        before = bad_logons(account)
        code, touched, said = rolled_out(WRONG)
        equal((code, touched), (1, False), said)
        assert "did not accept the password of CORP\\replicas-rollout (NTLM)" in said and "the replicas that run keep what they have" in said, said
        equal(bad_logons(account) - before, 1, "bad logons of the rollout")
        equal([status(t, address) for address in REPLICAS], [200] * 3, "the replicas that run")
        equal(bad_logons(account), 0, "bad logons after good ones")
        code, touched, said = rolled_out(ACCOUNTS[account])
        equal((code, touched), (0, True), said)
        assert "It works: " in said, said
