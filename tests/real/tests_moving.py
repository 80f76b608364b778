"""What passes through: large bodies, slow streams, silent tunnels, the upstream's own answers."""
import base64
import hashlib
import http.client
import json
import os
import re
import socket
import statistics
import time

from harness import MIB, equal, passed, random_file, read_head, squid_log, test, wait_for
from layout import ACCOUNTS, RUN
from tests_schemes import at_once

ALICE = {"user": "CORP\\alice", "password": ACCOUNTS["alice"]}


# ---- bodies --------------------------------------------------------------------------------------------------------

@test("100 MiB by POST with {} arrive once and whole through NTLM while the relay stays small", each=["Content-Length", "chunks"])
def hundred_mib(t, framing):
    relay = t.relay("ntlm", **ALICE)
    path, digest = random_file(100 * MIB)
    equal(t.curl(relay, f"http://{t.site}/hello").status, 200, "the first request")
    chunked = ["-H", "Transfer-Encoding: chunked"] if framing == "chunks" else []
    relay.forget_peak()
    before = relay.memory("VmRSS")
    echo = t.curl(relay, f"http://{t.site}/echo?id={t.site}", "-X", "POST", "-T", path, *chunked).json()
    grown = relay.memory("VmHWM") - before
    equal((echo["length"], echo["sha256"]), (100 * MIB, digest), "what arrived")
    equal(t.curl(relay, f"http://{t.site}/seen?id={t.site}").json(), ["POST"], "requests the origin saw")
    assert grown < 16 * MIB, f"the relay grew by {grown / MIB:.1f} MiB"


@test("20 MiB by POST with {} as a relay's very first request arrive once and whole through NTLM", each=["Content-Length", "chunks"])
def large_first(t, framing):
    relay = t.relay("ntlm", **ALICE)
    path, digest = random_file(20 * MIB)
    chunked = ["-H", "Transfer-Encoding: chunked"] if framing == "chunks" else []
    echo = t.curl(relay, f"http://{t.site}/echo?id={t.site}", "-X", "POST", "-T", path, *chunked).json()
    equal((echo["length"], echo["sha256"], echo["count"]), (20 * MIB, digest, 1), "what arrived")


@test("20 MiB with Content-Length take less than a second", alone=True)
def twenty_mib(t):
    relay = t.relay("ntlm", **ALICE)
    path, digest = random_file(20 * MIB)
    for expect in ([], ["-H", "Expect:"]):
        got = t.curl(relay, f"http://{t.site}/echo", "-X", "POST", "-T", path, *expect)
        equal((got.json()["length"], got.json()["sha256"]), (path.stat().st_size, digest), "what arrived")
        assert got.seconds < 1, f"it took {got.seconds} s"


@test("a proxy that stops demanding NTLM midway lets exactly one POST through, whole")
def demands_no_more(t):
    relay = t.relay("lenient", **ALICE)
    path, digest = random_file(300_000)
    for n in range(2):   # once as the relay's first request, once when it knows the proxy
        echo = t.curl(relay, f"http://{t.site}/echo?id={t.site}-{n}", "-X", "POST", "-T", path).json()
        equal((echo["length"], echo["sha256"]), (300_000, digest), "what arrived")
        seen = t.curl(relay, f"http://{t.site}/seen?id={t.site}-{n}").json()
        equal(seen.count("POST"), 1, f"POSTs among {seen}")


@test("200 POSTs pass through a Digest proxy whose nonces go stale")
def stale_nonces(t):
    relay = t.relay("digeststale", user="alice")
    def some(worker):
        connection = http.client.HTTPConnection(*relay.address, timeout=30)
        for n in range(50):
            body = os.urandom(2000)
            connection.request("POST", f"http://{t.site}/echo?id={t.site}-{worker}-{n}", body)
            response = connection.getresponse()
            text = response.read()
            equal(response.status, 200, f"request {n} of client {worker}: {text[:300]}")
            echo = json.loads(text)
            equal((echo["sha256"], echo["count"]), (hashlib.sha256(body).hexdigest(), 1), "what arrived")
        return "done"
    equal(at_once(4, some), ["done"] * 4, "the clients")


@test("1 GiB passes through a tunnel to the origin and arrives unchanged")
def gib_up(t):
    with t.tunnel(t.relay("ntlm", **ALICE)) as tunnel, open(RUN / "block", "rb") as block:
        tunnel.sendall(b"take %d\n" % (1024 * MIB))
        for _ in range(1024):
            tunnel.sendfile(block, 0)
        equal(tunnel.makefile().readline().strip(), gib_digest(), "hash")


@test("1 GiB passes through a tunnel from the origin and arrives unchanged")
def gib_down(t):
    digest, buffer, left = hashlib.sha256(), memoryview(bytearray(MIB)), 1024 * MIB
    with t.tunnel(t.relay("ntlm", **ALICE)) as tunnel:
        tunnel.sendall(b"send %d\n" % left)
        while left and (got := tunnel.recv_into(buffer)):
            digest.update(buffer[:got])
            left -= got
    equal((left, digest.hexdigest()), (0, gib_digest()), "bytes missing, hash")


def gib_digest():
    block, digest = (RUN / "block").read_bytes(), hashlib.sha256()
    for _ in range(1024):
        digest.update(block)
    return digest.hexdigest()


# ---- streams -------------------------------------------------------------------------------------------------------

def sse_through(connection, origin, host):
    """Reads 100 events 50 ms apart; each must come by itself and soon."""
    connection.sendall(f"GET {origin}/sse?n=100&ms=50 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head = read_head(connection)
    assert head.startswith("HTTP/1.1 200"), head
    delays, together, data = [], 0, b""
    while len(delays) < 100:
        piece = connection.recv(65536)
        now = time.monotonic_ns()
        assert piece, f"closed after {len(delays)} events"
        data += piece
        events = re.findall(rb"data: \d+ (\d+)\n\n", data)
        together += len(events) > 1
        if events:
            data = b""
        delays += [(now - int(sent)) / 1e6 for sent in events]
    median, worst = statistics.median(delays), max(delays)
    assert median < 10 and worst < 50 and not together, f"delay {median:.2f} ms, worst {worst:.2f} ms, {together} coalesced"


@test("100 server-sent events arrive one by one and soon when forwarded", alone=True)
def sse_forwarded(t):
    relay = t.relay("ntlm", **ALICE)
    with socket.create_connection(relay.address, timeout=30) as connection:
        sse_through(connection, f"http://{t.site}", t.site)


@test("100 server-sent events arrive one by one and soon in a tunnel", alone=True)
def sse_tunnelled(t):
    relay = t.relay("ntlm", **ALICE)
    with t.tls(t.tunnel(relay, port=443)) as connection:
        sse_through(connection, "", t.site)


def websocket(connection, target, host):
    """Upgrades and has a few frames echoed."""
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
    head = read_head(connection)
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    assert head.startswith("HTTP/1.1 101") and accept in head, head
    stream = connection.makefile("rb")
    for n in range(10):
        data, mask = f"frame {n}".encode(), os.urandom(4)
        connection.sendall(bytes([0x81, 0x80 | len(data)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))
        equal(stream.read(2 + len(data)), bytes([0x81, len(data)]) + data, "echo")


@test("a WebSocket echoes after a plain upgrade")
def websocket_plain(t):
    relay = t.relay("ntlm", **ALICE)
    with socket.create_connection(relay.address, timeout=30) as connection:
        websocket(connection, f"http://{t.site}/ws", t.site)


@test("a WebSocket echoes over TLS in a tunnel")
def websocket_tls(t):
    relay = t.relay("ntlm", **ALICE)
    with t.tls(t.tunnel(relay, port=443)) as connection:
        websocket(connection, "/ws", t.site)


@test("small records in a tunnel are not held back by 40 ms", alone=True)
def no_nagle(t):
    with t.tunnel(t.relay("ntlm", **ALICE)) as tunnel:
        tunnel.sendall(b"echo\n")
        times = []
        for _ in range(60):
            start = time.monotonic()
            tunnel.sendall(b"\x17\x03\x03\x00\x64")   # a record's head and its body in two writes, as many TLS stacks do
            tunnel.sendall(bytes(100))
            left = 105
            while left:
                left -= len(tunnel.recv(left))
            times.append((time.monotonic() - start) * 1000)
    assert statistics.median(times) < 5 and sorted(times)[-3] < 30, f"median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms"


def keepalive_soon(line):
    """Whether `ss` shows a probe within 30 s."""
    probe = re.search(r"timer:\(keepalive,([\d.]+)(ms|sec)", line)
    return probe and (probe[2] == "ms" or float(probe[1]) <= 30)


def silent_tunnel(t, seconds):
    relay = t.relay("ntlm", **ALICE)
    with t.tunnel(relay) as tunnel:
        tunnel.sendall(b"echo\n")
        tunnel.sendall(b"before")
        equal(tunnel.recv(100), b"before", "echo")
        equal(len(relay.sockets()), 2, "connections of the relay")
        wait_for("a keepalive timer on both of them", lambda: all(map(keepalive_soon, relay.sockets())))
        time.sleep(seconds)   # silence is what is tested
        tunnel.sendall(b"after")
        equal(tunnel.recv(100), b"after", "echo")


@test("a tunnel passes data after 130 s of silence, with keepalive on both sides", background=True)
def silence(t):
    silent_tunnel(t, 130)


@test("a tunnel passes data after 330 s of silence, with keepalive on both sides", background=True, soak=True)
def long_silence(t):
    silent_tunnel(t, 330)


# ---- the upstream's and the origin's own business ------------------------------------------------------------------

@test("the proxy's own 403 page reaches the client of a {}", each=["GET", "CONNECT"])
def own_page(t, method):
    relay = t.relay("ntlm", **ALICE)
    if method == "GET":
        got = t.curl(relay, "http://blocked.test/")
        status, head, page = got.status, got.head, got.body
    else:
        with socket.create_connection(relay.address, timeout=30) as connection:
            connection.sendall(b"CONNECT blocked.test:443 HTTP/1.1\r\nHost: blocked.test:443\r\n\r\n")
            head = read_head(connection)
            status, length = int(head.split()[1]), int(re.search(r"(?i)content-length: (\d+)", head)[1])
            page = connection.makefile("rb").read(length)
    equal(status, 403, "status")
    assert "X-Squid-Error: ERR_ACCESS_DENIED" in head and b"ERR_ACCESS_DENIED" in page and len(page) > 2000, head


@test("an authenticated connection to Squid {} serves the next requests of the same client", each=["ntlm", "wraponly"])
def reuse(t, kind):
    relay = t.relay(kind, **ALICE)
    connection = http.client.HTTPConnection(*relay.address, timeout=30)
    for n in range(20):
        connection.request("GET", f"http://{t.site}/hello?{n}")
        response = connection.getresponse()
        equal((response.status, response.read()), (200, b"hello from the origin\n"), f"request {n}")
    equal(len({entry.connection for entry in passed(kind, t.site, 20)}), 1, "connections to the proxy for 20 requests")
    refused = [entry for entry in squid_log(kind, t.site) if entry.status == 407]
    assert len(refused) <= 2, f"{len(refused)} refusals by the proxy for 20 requests"


@test("two users at an origin that demands NTLM itself share no session")
def origin_ntlm(t):
    relay = t.relay("ntlm", **ALICE)
    url = f"http://{t.site}/ntlm"
    def client(n):
        user = ("carol", "bob-less", "alice")[n % 3]
        if user == "bob-less":   # one who does not log in at all
            return ["none", t.run("curl", "-sS", "-x", relay.url, "-o", "/dev/null", "-w", "%{http_code}", url)]
        out = t.run("curl", "-sS", "-x", relay.url, "--ntlm", "-u", f"{user}:{ACCOUNTS[user]}", *[url] * 5)
        return [user, out]
    for user, out in at_once(18, client):
        if user == "none":
            equal(out, "401", "a client without a name")
        else:
            equal(re.findall(r'"user": "CORP\\\\(\w+)"', out), [user] * 5, f"who the origin took {user} for")


@test("HEAD, 204, 304, 404 and a large download pass through unchanged")
def answers(t):
    relay = t.relay("ntlm", **ALICE)
    got = t.curl(relay, f"http://{t.site}/hello", "-I")
    equal((got.exit, got.status, got.header("Content-Length")), (0, 200, "22"), "HEAD")
    for status in (204, 304, 404, 503):
        got = t.curl(relay, f"http://{t.site}/status/{status}")
        equal((got.exit, got.status), (0, status), "status")
    got = t.curl(relay, f"http://{t.site}/big?bytes={50 * MIB}")
    equal((len(got.body), got.body[-1]), (50 * MIB, (50 * MIB - 1) % 251), "the download")
    got = t.curl(relay, f"http://{t.site}/trailers")
    equal(got.body, b"with a trailer\n", "a chunked answer with a trailer")


@test("the audit record of a tunnel names its hop, scheme and bytes, and neither user nor path")
def audit(t):
    relay = t.relay("ntlm", **ALICE)
    equal(t.curl(relay, f"https://{t.site}/a-path-of-its-own?query").status, 404, "status")
    record = wait_for("the record", lambda: next((r for r in relay.audit() if r["target"] == f"{t.site}:443"), None))
    equal((record["method"], record["status"], record["scheme"].lower()), ("CONNECT", 200, "ntlm"), "method, status, scheme")
    assert "proxy.corp.test:3123" in record["hop"] and record["bytes_up"] > 100 and record["bytes_down"] > 1000, record
    for secret in (ALICE["password"], "alice", "a-path-of-its-own", "TlRMTVNTUAAD"):
        assert secret not in relay.log.read_text(), f"the relay's log shows {secret}"
