"""What runs on the laptop: the relay, and a client that keeps asking through it wherever the laptop is."""
import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass

import harness
from harness import read_head, wait_for
from servers import AT_HOME, AT_OFFICE, CERTIFICATE, ORIGIN, PASSWORD, PROXY, USER

LISTEN = ("127.0.0.1", 3128)
# What is promised is printed with each test: within 3 s from place to place, 2 s for the first direct answer, 50 ms for later
# ones. A machine that is busy with other things gets so much more before a test fails.
SLACK = 2.0
LATER = 0.25
SETTLED = 3 + SLACK   # seconds after a move
WAYS = {PROXY: "proxied", AT_HOME: "direct from home", AT_OFFICE: "direct from the office"}


class Relay(harness.Relay):
    """A hallpass on the laptop. `state`: where it keeps files from run to run."""

    def __init__(self, test, laptop, config, state=None):
        self.dir = test.dir / f"relay-{len(test.relays)}"
        self.dir.mkdir()
        test.relays.append(self)
        self.state = state or self.dir / "state"
        secret = self.dir / "password"
        secret.touch(0o600)
        secret.write_text(PASSWORD)
        text = f"""grace = "0s"
{config}
[credentials.corp]
user = "{USER}"
password = "${{file:{secret}}}"
for = ["proxy.corp.test"]
"""
        self.launch(test, text, "%s:%d" % LISTEN, laptop.command(), ["--log", "debug"], {"XDG_STATE_HOME": str(self.state)})


# ---- one request ---------------------------------------------------------------------------------------------------

@dataclass
class Request:
    kind: str           # GET or CONNECT
    begun: float
    ended: float = 0
    status: int = 0     # 0: no answer
    way: str = ""       # by whom the origin saw it asked
    error: str = ""

    @property
    def seconds(self):
        return self.ended - self.begun

    def __str__(self):
        return f"{self.kind} {self.status} {self.error and repr(self.error[-300:])} {self.way} in {self.seconds:.3f} s"


def ask(kind, address=LISTEN, seconds=15):
    """One request for https (CONNECT) or http (GET) through a relay; without an address, directly. From the thread's own namespace."""
    request = Request(kind, time.monotonic())
    carry_out(request, address, seconds)
    return request


def carry_out(request, address, seconds):
    direct = (ORIGIN, 80 if request.kind == "GET" else 443)
    try:
        with socket.create_connection(address or direct, timeout=seconds) as connection:
            request.status, body = (fetch if request.kind == "GET" else fetch_tls)(connection, bool(address))
        if request.status == 200:
            peer = json.loads(body)["peer"]
            request.way = WAYS.get(peer, peer)
        else:
            request.error = body.decode(errors="replace")
            request.way = "refused by the relay" if request.status in (502, 504) else ""
    except (OSError, AssertionError, ValueError) as error:
        request.error = f"{type(error).__name__}: {error}"
    request.ended = time.monotonic()


def fetch(connection, relayed, url="http://origin.test/peer"):
    target = url if relayed else "/peer"
    host = url.split("/")[2]
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    return answer(connection)


def answer(connection):
    head = read_head(connection)
    body = b""
    while piece := connection.recv(65536):
        body += piece
    return int(head.split()[1]), body


def fetch_tls(connection, relayed):
    if relayed:
        connection.sendall(b"CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n")
        head = read_head(connection)
        if " 200 " not in head.partition("\r\n")[0]:
            return int(head.split()[1]), head.encode()
    with ssl.create_default_context(cafile=CERTIFICATE).wrap_socket(connection, server_hostname="origin.test") as tls:
        return fetch(tls, False)


# ---- one request after the other -------------------------------------------------------------------------------------

class Client:
    """Asks at a fixed pace, GET and CONNECT in turn, whatever became of the requests before."""

    def __init__(self, laptop, every=0.5):
        self.every, self.requests, self.open = every, [], True
        self.plain = 0.02   # seconds that a request takes by itself
        with laptop.inside():
            self.thread = threading.Thread(target=self.go, daemon=True)
            self.thread.start()

    def go(self):
        begun, count = time.monotonic(), 0
        while self.open:
            request = Request(("GET", "CONNECT")[count % 2], time.monotonic())
            self.requests.append(request)
            threading.Thread(target=carry_out, args=(request, LISTEN, 15), daemon=True).start()
            count += 1
            time.sleep(max(0, begun + count * self.every - time.monotonic()))

    def stop(self):
        self.open = False
        self.thread.join()

    def between(self, begin, end):
        """The requests begun in this time, ended each."""
        wait_for("the time to pass", lambda: time.monotonic() >= end, end - time.monotonic() + 1)
        found = [request for request in self.requests if begin <= request.begun < end]
        wait_for("the requests to end", lambda: all(request.ended for request in found), 20)
        return found

    def settles(self, moved, way, watch=3.0, within=SETTLED):
        """Every request begun in the `watch` seconds after the state has settled goes `way`, and at once. Returns when the first one
        after the move did."""
        right = lambda request: request.way == way
        found = self.between(moved + within, moved + within + watch)
        assert found, "no request was made"
        wrong = [str(request) for request in found if not right(request)]
        assert not wrong, f"of {len(found)} requests begun {within} s after the move or later, {len(wrong)} not {way}: {wrong}"
        slow = [str(request) for request in found if request.seconds > self.plain + LATER]
        assert len(slow) <= 1, f"of {len(found)} requests begun {within} s after the move or later, slow: {slow}"
        return min(request.ended for request in self.requests if request.ended > moved and right(request)) - moved
