"""Who may use the relay: a guest behind a cable of its own, interfaces that come and go, users who share a machine."""
import contextlib
import http.server
import json
import os
import socket
import subprocess
import time

import harness
from harness import HALLPASS, equal, read_head, test, wait_for
from namespace import Place
from servers import Server

HOST, GUEST, NEIGHBOUR = "10.77.0.1", "10.77.0.2", "10.78.0.2"   # on the cables
OUTSIDE = "203.0.113.5"
PORT = 3128
LISTENER = f'[[listeners]]\ninterface = "guests"\nport = {PORT}\n'
STRANGER = 65534


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"hello\n")

    def log_message(self, *_):
        pass


class Machines:
    """A host with the relay, a guest and a neighbour on cables to it, and a server outside that only the host can reach."""

    def __init__(self, t):
        self.host, self.guest, self.neighbour, self.outside = Place("--mount", "--propagation=private"), Place(), Place(), Place()
        self.join(self.outside, "host", f"{OUTSIDE}/24", "outside", "203.0.113.1/24")
        hosts = t.dir / "hosts"
        hosts.write_text(f"127.0.0.1 localhost sly.test\n{HOST} sly-own.test\n{OUTSIDE} outside.test\n")
        self.command("mount", "--bind", hosts, "/etc/hosts")
        self.servers = [Server(self.outside, (OUTSIDE, 80), Hello), Server(self.host, ("127.0.0.1", 80), Hello), Server(self.host, ("0.0.0.0", 8000), Hello)]

    def join(self, place, name, address, at_host, host_address):
        subprocess.run(["ip", "link", "add", "name", at_host, "netns", str(self.host.pid), "type", "veth",
                        "peer", "name", name, "netns", str(place.pid)], check=True)
        place.ip(f"addr add {address} dev {name}", f"link set {name} up")
        self.host.ip(f"addr add {host_address} dev {at_host}", f"link set {at_host} up")

    def command(self, *command):
        subprocess.run(["nsenter", f"--target={self.host.pid}", "--net", "--mount", *map(str, command)], check=True)

    def plug(self, address=f"{HOST}/24", guest=f"{GUEST}/24"):
        self.join(self.guest, "host", guest, "guests", address)

    def plug_neighbour(self):
        """Behind another cable, and it knows the way to the address on the first."""
        self.join(self.neighbour, "host", f"{NEIGHBOUR}/24", "others", "10.78.0.1/24")
        self.neighbour.ip(f"route add {HOST}/32 via 10.78.0.1")

    def unplug(self):
        self.host.ip("link del guests")

    def close(self):
        for server in self.servers:
            server.close()
        for place in (self.host, self.guest, self.neighbour, self.outside):
            place.close()


@contextlib.contextmanager
def machines(t):
    stage = Machines(t)
    try:
        yield stage
    finally:
        stage.close()


class Relay(harness.Relay):
    def __init__(self, t, stage, config, listen=f"127.0.0.1:{PORT}", flags=()):
        self.dir = t.dir / f"relay-{len(t.relays)}"
        self.dir.mkdir()
        t.relays.append(self)
        within = ["nsenter", f"--target={stage.host.pid}", "--net", "--mount"]
        self.launch(t, 'grace = "0s"\n' + config, listen, within, flags)

    def says(self, words):
        return wait_for(f"the log to say {words!r}", lambda: words in self.log.read_text())

    def last(self, **wanted):
        """The last record that has these values."""
        def found():
            return [r for r in self.audit() if all(r.get(key) == value for key, value in wanted.items())]
        return wait_for(f"a record with {wanted}", found)[-1]


def ask(place, request, to=HOST, port=PORT, seconds=10):
    """The status of the answer; 0: there was no connection or none."""
    try:
        with place.connect(to, port, seconds) as connection:
            connection.sendall(request.encode())
            return int(read_head(connection).split()[1])
    except (OSError, AssertionError, IndexError):
        return 0


def tunnel(place, target, **more):
    return ask(place, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n", **more)


def page(place, path, host=HOST, **more):
    return ask(place, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n", **more)


@test("a guest behind its own cable reaches targets and nothing of the host", stage="places")
def guest(t):
    with machines(t) as m:
        m.plug()
        relay = Relay(t, m, LISTENER)
        for target in (f"{OUTSIDE}:80", "outside.test:80"):
            equal(tunnel(m.guest, target), 200, target)
            equal(ask(m.guest, f"GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n"), 200, f"GET {target}")
        # The host itself reaches all of these, and the connections that it leaves idle are not the guest's.
        for target in ("127.0.0.1:80", "sly.test:80"):
            equal(ask(m.host, f"GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n", to="127.0.0.1"), 200, f"the host: GET {target}")
        own = ["127.0.0.1:80", "localhost:80", "a.localhost:80", "sly.test:80", "sly-own.test:8000", f"{HOST}:8000", "203.0.113.1:8000",
               "0.0.0.0:80", "0:80", "2130706433:80", "0x7f.1:80", "127.9.9.9:80", "[::1]:80", "[::]:80", "[::ffff:127.0.0.1]:80",
               f"[::ffff:{HOST}]:8000", "169.254.169.254:80", "[fe80::1]:80", f"{HOST}:{PORT}", f"127.0.0.1:{PORT}"]
        for target in own:
            equal(tunnel(m.guest, target), 403, target)
            equal(ask(m.guest, f"GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n"), 403, f"GET {target}")
        def refused():
            return [r["end"] for r in relay.audit() if r["status"] == 403]
        wait_for("all of them in the audit log", lambda: len(refused()) == 2 * len(own))
        equal(set(refused()), {"denied", "loop"}, "ends")
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/proxy.pac", 200), ("/status", 404), ("/", 404), ("/metrics", 404)):
            equal(page(m.guest, path), status, path)
        equal(page(m.guest, "/healthz", host="localhost"), 421, "a Host that is not ours from there")
        equal(page(m.host, "/status", host="localhost", to="127.0.0.1"), 200, "the host's own look")


@test("whoever does not come by the interface, or is not of its network, is refused and told of", stage="places")
def strangers(t):
    with machines(t) as m:
        m.plug()
        m.plug_neighbour()
        relay = Relay(t, m, LISTENER)
        equal(tunnel(m.neighbour, "outside.test:80", seconds=2), 0, "the neighbour by the other cable, to the same address")
        # On the right cable with a wrong address.
        m.guest.ip("addr add 10.99.0.2/32 dev host", f"route replace {HOST}/32 dev host src 10.99.0.2")
        m.host.ip("route add 10.99.0.2/32 dev guests")
        equal(tunnel(m.guest, "outside.test:80"), 403, "an address of no network of the interface")
        equal(page(m.guest, "/healthz"), 403, "a page")
        record = relay.last(end="peer_denied")
        assert record["client"].startswith("10.99.0.2:") and record["listener"] == f"{HOST}:{PORT}", record
        relay.says('10.99.0.2 may not use this relay, which serves 10.77.0.0/24 by guests - add "10.99.0.2" to allow in [[listeners]]')
        with m.host.connect("127.0.0.1", PORT) as connection:
            connection.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            status = json.loads(connection.makefile("rb").read().partition(b"\r\n\r\n")[2])
        refused = status["refused"][0]
        equal((refused["client"], refused["interface"], refused["count"]), ("10.99.0.2", "guests", 2), "status")
        # A user of the host is judged as a user, whichever address is taken.
        for to in ("127.0.0.1", HOST):
            equal(as_stranger(m, "outside.test:80", to), 403, f"another user to {to}")
            equal(tunnel(m.host, "outside.test:80", to=to), 200, f"root to {to}")


SCRAPER = f'[access]\nmetrics = ["10.99.0.0/16"]\n'


@test("a scraper whose network may read figures reads them and nothing else, and whoever may not does not", stage="places")
def scraper(t):
    with machines(t) as m:
        m.plug()
        relay = Relay(t, m, SCRAPER + LISTENER)
        equal(tunnel(m.guest, "outside.test:80"), 200, "a client")
        equal(page(m.guest, "/metrics"), 404, "a client that is served, but not with figures")
        m.guest.ip("addr add 10.99.0.2/32 dev host", f"route replace {HOST}/32 dev host src 10.99.0.2")
        m.host.ip("route add 10.99.0.2/32 dev guests")
        for path, status in (("/metrics", 200), ("/metrics?x", 200), ("/status", 403), ("/", 403), ("/readyz", 403), ("/metricsx", 403)):
            equal(page(m.guest, path), status, path)
        equal(page(m.guest, "/metrics", host="localhost"), 421, "a Host that is not ours from there")
        equal(tunnel(m.guest, "outside.test:80"), 403, "a tunnel")
        equal(ask(m.guest, "GET http://outside.test/metrics HTTP/1.1\r\nHost: outside.test\r\n\r\n"), 403, "another server's")
        with m.guest.connect(HOST, PORT) as connection:
            connection.sendall(f"GET /metrics HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
            text = connection.makefile("rb").read().decode()
        assert "\nhallpass_tunnels_open 0\n" in text, text


def as_stranger(m, target, to):
    """The status that a process of another user gets."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 255
        try:
            with m.host.inside():
                os.setgid(STRANGER)
                os.setuid(STRANGER)
                connection = socket.create_connection((to, PORT), timeout=10)
                connection.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
                os.write(write, read_head(connection).split()[1].encode())
                status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return int(text or 0)


@test("an interface is listened on when it comes, with another address, and when it comes back", stage="places")
def coming_and_going(t):
    with machines(t) as m:
        relay = Relay(t, m, LISTENER)
        relay.says("guests has no address yet")
        m.plug()
        took = served(m, HOST)
        equal(tunnel(m.guest, f"{HOST}:{PORT}"), 403, "the relay itself, which it was not when it started")
        m.host.ip(f"addr del {HOST}/24 dev guests", "addr add 10.79.0.1/24 dev guests")
        m.guest.ip("addr add 10.79.0.2/24 dev host")
        served(m, "10.79.0.1")
        wait_for("the former address to be let go", lambda: f"no longer listening on {HOST}:{PORT} (guests)" in relay.log.read_text())
        m.unplug()
        relay.says("no longer listening on 10.79.0.1:3128 (guests)")
        m.plug()
        again = served(m, HOST)
        equal(tunnel(m.host, "outside.test:80", to="127.0.0.1"), 200, "the host all the while")
        t.notes.append(f"listened on {took * 1000:.0f} ms after it came, {again * 1000:.0f} ms after it came back")


def served(m, host):
    began = time.monotonic()
    wait_for(f"{host} to be served", lambda: tunnel(m.guest, "outside.test:80", to=host) == 200)
    return time.monotonic() - began


@test("by default only loopback is listened on, and other addresses want a list of networks", stage="places")
def addresses(t):
    with machines(t) as m:
        m.plug()
        relay = Relay(t, m, "")
        shown = m.host.run("ss", "-Hlntp")
        mine = [line.split()[3] for line in shown.splitlines() if f"pid={relay.process.pid}," in line]
        equal(mine, [f"127.0.0.1:{PORT}"], "what listens")
        relay.stop()
        wrong = subprocess.run([HALLPASS, "config", "check", "--no-config", "--listen", f"0.0.0.0:{PORT}"], capture_output=True, text=True, env=t.env())
        equal(wrong.returncode, 2, wrong.stderr)
        assert "allow = [\"10.1.2.0/24\"] in [access]" in wrong.stderr, wrong.stderr
        relay = Relay(t, m, f'[access]\nallow = ["{GUEST}"]\n', listen=f"0.0.0.0:{PORT}")
        equal(tunnel(m.guest, "outside.test:80"), 200, "who is allowed")
        for target in (f"{HOST}:{PORT}", f"127.0.0.1:{PORT}", "sly-own.test:3128"):
            equal(tunnel(m.guest, target), 403, target)
            equal(tunnel(m.host, target, to="127.0.0.1"), 403, f"a loop of the host's: {target}")
        m.guest.ip("addr add 10.77.0.3/24 dev host", f"addr del {GUEST}/24 dev host", "addr replace 10.77.0.3/24 dev host")
        equal(tunnel(m.guest, "outside.test:80"), 403, "who is not")
        equal(as_stranger(m, "outside.test:80", HOST), 403, "another user of the host")
