"""Who answers in the places: the origin, DNS, the PAC server, Squid; and who listens there to what the laptop sends."""
import contextlib
import hashlib
import http.server
import json
import socket
import ssl
import struct
import subprocess
import threading
import time
import urllib.parse

from layout import CA

ORIGIN, PAC_HOST, PROXY = "203.0.113.5", "10.9.0.10", "10.9.0.20"
AT_OFFICE, AT_HOME, ON_VPN = "10.9.0.100", "192.168.77.50", "10.8.0.2"   # the laptop
ECHO_PORT = 9000
USER, PASSWORD = "alice", "Alice-Pw-1"
CERTIFICATE = CA / "ca.pem"   # the origin's, and its own authority

PAC_URL = "http://pac.corp.test/proxy.pac"
SCRIPT = """function FindProxyForURL(url, host) {
  if (isPlainHostName(host) || dnsDomainIs(host, ".intern.test")) return "DIRECT";
  return "PROXY proxy.corp.test:3128";
}
"""
PORTAL = "<!DOCTYPE html><html><head><title>Welcome</title></head><body>Please accept our terms to go online.</body></html>\n"


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def __init__(self, place, address, handler, tls=None, **facts):
        self.tls = tls
        self.__dict__.update(facts)
        with place.inside():
            super().__init__(address, handler)
            threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def finish_request(self, request, client_address):
        if self.tls:
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, *_):
        pass   # clients whose cable was pulled

    def close(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, kind="text/plain", body="", **headers):
        data = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def server_tls():
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERTIFICATE, CA / "ca.key")
    return tls


class Site(Handler):
    """The origin: `/peer` says who asked; `/stream?n=…&ms=…` sends n lines, ms apart."""

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/stream":
            query = dict(urllib.parse.parse_qsl(url.query))
            return self.stream(int(query["n"]), int(query["ms"]) / 1000)
        self.answer(200, "application/json", json.dumps({"peer": self.client_address[0], "path": url.path}))

    def stream(self, count, step):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for n in range(count):
            line = b"data: %d\n\n" % n
            self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
            time.sleep(step)
        self.wfile.write(b"0\r\n\r\n")


class Echo:
    def __init__(self, place, address):
        with place.inside():
            self.listener = socket.create_server(address, backlog=64)
            threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=echo, args=self.listener.accept()[:1], daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)   # wakes the one who waits in accept
        self.listener.close()


def echo(connection):
    with connection, contextlib.suppress(OSError):
        while piece := connection.recv(65536):
            connection.sendall(piece)


def received(datagrams):
    """What arrives until the socket is closed."""
    datagrams.settimeout(0.5)   # a close wakes nobody who waits for ever
    while datagrams.fileno() >= 0:
        try:
            yield datagrams.recvfrom(2048)
        except OSError:   # nothing yet, or an interface went down
            continue


class Dns:
    """Answers A questions from `names`, and that there is no such name for all others."""

    def __init__(self, place, address, names):
        self.names = names
        with place.inside():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind((address, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        for query, asker in received(self.socket):
            with contextlib.suppress(OSError):   # whoever asked may have left
                self.socket.sendto(self.reply(query), asker)

    def reply(self, query):
        labels, at = [], 12
        while size := query[at]:
            labels.append(query[at + 1:at + 1 + size].decode().lower())
            at += 1 + size
        question, (kind,) = query[12:at + 5], struct.unpack_from(">H", query, at + 1)
        address = self.names.get(".".join(labels))
        found = socket.inet_aton(address) if address and kind == 1 else b""
        record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + found if found else b""
        head = query[:2] + struct.pack(">HHHHH", 0x8580 | (0 if address else 3), 1, 1 if found else 0, 0, 0)
        return head + question + record

    def close(self):
        self.socket.close()


class PacPage(Handler):
    def do_GET(self):
        pac = self.server.pac
        pac.asked.append(self.headers.get("If-None-Match"))
        if pac.says == "nothing":
            return time.sleep(30)   # far longer than anybody waits
        if pac.says == "portal":
            return self.answer(200, "text/html", PORTAL)
        if pac.says == "error":
            return self.answer(500, "text/html", "<h1>Internal Server Error</h1>\n")
        tag = f'"{hashlib.sha256(pac.script.encode()).hexdigest()[:16]}"'
        if self.headers.get("If-None-Match") == tag:
            self.send_response(304)
            self.send_header("ETag", tag)
            return self.end_headers()
        self.answer(200, "application/x-ns-proxy-autoconfig", pac.script, ETag=tag, Connection="close")


class PacServer:
    """`says`: "script", "portal" (HTML with 200), "error" (500) or "nothing" (it takes the question and is silent)."""

    def __init__(self, place):
        self.place, self.says, self.script, self.server = place, "script", SCRIPT, None
        self.asked = []   # the If-None-Match of each question
        self.start()

    def start(self):
        self.server = Server(self.place, (PAC_HOST, 80), PacPage, pac=self)

    def stop(self):
        """Its port is refused."""
        self.server.close()
        self.server = None

    def close(self):
        if self.server:
            self.stop()


class Sniffer:
    """When the laptop asked the origin for a connection by itself: each SYN that arrives at the office for it."""

    def __init__(self, place, interfaces):
        self.syns, self.interfaces = [], interfaces
        with place.inside():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for packet, (interface, _, kind, *_) in received(self.socket):
            head = (packet[0] & 15) * 4
            to_origin = packet[9] == 6 and packet[16:20] == socket.inet_aton(ORIGIN)
            if interface in self.interfaces and kind != socket.PACKET_OUTGOING and to_origin and packet[head + 13] & 0x12 == 2:
                self.syns.append(time.monotonic())

    def close(self):
        self.socket.close()


class Squid:
    """A proxy that offers Digest and Basic, and lets nobody pass without."""

    def __init__(self, place, directory):
        directory.mkdir()
        self.log, self.place = directory / "access.log", place
        secret = hashlib.md5(f"{USER}:corp:{PASSWORD}".encode()).hexdigest()
        (directory / "digest").write_text(f"{USER}:corp:{secret}\n")
        crypted = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], check=True, capture_output=True, text=True).stdout.strip()
        (directory / "basic").write_text(f"{USER}:{crypted}\n")
        (directory / "hosts").write_text(f"127.0.0.1 localhost\n{ORIGIN} origin.test\n")
        (directory / "squid.conf").write_text(f"""http_port {PROXY}:3128
auth_param digest program /usr/lib/squid/digest_file_auth -c {directory}/digest
auth_param digest realm corp
auth_param digest children 3 startup=1 idle=1
auth_param basic program /usr/lib/squid/basic_ncsa_auth {directory}/basic
auth_param basic realm corp
auth_param basic children 3 startup=1 idle=1
tcp_outgoing_address {PROXY}
visible_hostname proxy.corp.test
cache_effective_user proxy
pid_filename none
pinger_enable off
netdb_filename none
shutdown_lifetime 0 seconds
cache deny all
memory_pools off
max_filedescriptors 1024
hosts_file {directory}/hosts
dns_nameservers 127.0.0.1
access_log stdio:{self.log}
cache_log {directory}/cache.log
acl authed proxy_auth REQUIRED
http_access deny !authed
http_access allow all
""")
        subprocess.run(["chown", "-R", "proxy", directory], check=True)
        name = f"places{directory.parent.name}"
        with (directory / "out").open("wb") as out:
            self.process = subprocess.Popen(place.command("squid", "-N", "-n", name, "-f", directory / "squid.conf"), stdout=out, stderr=out)

    def is_up(self):
        assert self.process.poll() is None, f"Squid ended; see {self.log.parent}"
        return self.place.accepts(PROXY, 3128)

    def close(self):
        self.process.kill()
        self.process.wait()
