#!/usr/bin/env python3
"""Every web site of the bed in one process: plain HTTP on 80, HTTPS on 443 with the test authority's certificate.

The site asked for (Host) chooses what answers: git.test, registry.test (npm), index.test (pip), the hosts of Claude Code,
and everywhere else the paths of `Site`. Each request is a JSON line in origin.log. Port 9000 is raw TCP for moving bytes fast.
"""
import base64
import gzip
import hashlib
import http.server
import io
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse
import zipfile

from layout import CA, RAW_PORT, RUN

LOG = (RUN / "log" / "origin.log").open("a", buffering=1)
LOCK = threading.Lock()
SEEN = {}   # id → the requests that carried it


class Site(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = 1 << 18

    # ---- what arrives

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ConnectionError, ssl.SSLError, ValueError):
            self.close_connection = True
        if getattr(self, "helper", None) and self.close_connection:
            self.helper.kill()

    def log_message(self, *_):
        pass

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.dispatch
        raise AttributeError(name)

    def dispatch(self):
        url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(url.query))
        self.parts = url.path.strip("/").split("/")
        host = self.headers.get("Host", "").split(":")[0]
        LOG.write(json.dumps({"time": time.time(), "host": host, "method": self.command, "path": self.path,
                              "tls": isinstance(self.connection, ssl.SSLSocket), "agent": self.headers.get("User-Agent")}) + "\n")
        by_host = {"git.test": self.git, "registry.test": self.npm, "index.test": self.pip}
        if host in by_host:
            by_host[host]()
        elif host.endswith(("anthropic.com", "claude.ai", "claude.com", "sentry.io", "datadoghq.com")):
            self.claude()
        else:
            getattr(self, "get_" + self.parts[0].replace("-", "_"), self.get_missing)()

    def body(self):
        """The request's body, piece by piece; trailers end up in self.trailers."""
        self.trailers = {}
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                while size:
                    piece = self.rfile.read(min(size, 1 << 18))
                    if not piece:
                        raise ConnectionError("cut short")
                    size -= len(piece)
                    yield piece
                self.rfile.readline()
            while (line := self.rfile.readline().strip()):
                name, value = line.decode().split(":", 1)
                self.trailers[name.lower()] = value.strip()
        else:
            left = int(self.headers.get("Content-Length", 0))
            while left:
                piece = self.rfile.read(min(left, 1 << 18))
                if not piece:
                    raise ConnectionError("cut short")
                left -= len(piece)
                yield piece

    # ---- what leaves

    def answer(self, body, status=200, kind="text/plain", **headers):
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(body)

    def answer_json(self, value, status=200, **headers):
        self.answer(json.dumps(value), status, "application/json", **headers)

    def start_chunks(self, kind, **headers):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    # ---- paths of the ordinary sites

    def get_missing(self):
        for _ in self.body():
            pass
        self.answer("nothing here\n", 404)

    def get_hello(self):
        self.answer("hello from the origin\n")

    def get_echo(self):
        """What arrived: its length and hash, how it was framed, and how many requests carried this id so far."""
        digest, length = hashlib.sha256(), 0
        with LOCK:
            seen = SEEN.setdefault(self.query.get("id"), [])
            seen.append(self.command)
            count = len(seen)
        for piece in self.body():
            digest.update(piece)
            length += len(piece)
        self.answer_json({"method": self.command, "length": length, "sha256": digest.hexdigest(), "count": count,
                          "headers": {k.lower(): v for k, v in self.headers.items()}, "trailers": self.trailers,
                          "connection": self.client_address[1]})

    def get_seen(self):
        """The methods of the requests to /echo that carried this id."""
        self.answer_json(SEEN.get(self.query.get("id"), []))

    def get_status(self):
        for _ in self.body():
            pass
        self.answer("as asked\n", int(self.parts[1]))

    def get_big(self):
        """`bytes` bytes of the same pattern: position modulo 251."""
        left = int(self.query["bytes"])
        self.send_response(200)
        self.send_header("Content-Length", str(left))
        self.end_headers()
        block = bytes(range(251)) * 1024
        while left > 0 and self.command != "HEAD":
            self.wfile.write(block[:left])
            left -= len(block)

    def get_sse(self):
        """`n` events, `ms` apart, each carrying the time at which it was written (monotonic nanoseconds, as the reader's)."""
        self.start_chunks("text/event-stream")
        start, step = time.monotonic(), int(self.query["ms"]) / 1000
        for n in range(int(self.query["n"])):
            time.sleep(max(0, start + n * step - time.monotonic()))
            self.chunk(b"data: %d %d\n\n" % (n, time.monotonic_ns()))
        self.chunk(b"")

    def get_trailers(self):
        self.start_chunks("text/plain", Trailer="X-Checksum")
        self.chunk(b"with a trailer\n")
        self.wfile.write(b"0\r\nX-Checksum: abc\r\n\r\n")

    def get_ws(self):
        """A WebSocket that echoes each frame."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        while len(head := self.rfile.read(2)) == 2:
            length = head[1] & 127
            if length == 126:
                length = struct.unpack(">H", self.rfile.read(2))[0]
            mask = self.rfile.read(4)
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(length)))
            size = bytes([length]) if length < 126 else b"\x7e" + struct.pack(">H", length)
            self.wfile.write(head[:1] + size + data)
            if head[0] & 15 == 8:
                return

    def get_ntlm(self):
        """Demands NTLM for the connection, as IIS does; tells who the connection belongs to."""
        for _ in self.body():
            pass
        word, _, token = self.headers.get("Authorization", "").partition(" ")
        if word == "NTLM":
            if token.startswith("TlRMTVNTUAAB"):
                self.owner = None
                self.helper = subprocess.Popen(["ntlm_auth", "--helper-protocol=squid-2.5-ntlmssp", "--domain=CORP"],
                                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
                verdict, challenge = self.ask(f"YR {token}")
                return self.answer("", 401, WWW_Authenticate=f"NTLM {challenge}", Proxy_Support="Session-Based-Authentication")
            verdict, self.owner = self.ask(f"KK {token}")
            self.helper.kill()
            if verdict != "AF":
                self.owner = None
        if getattr(self, "owner", None):
            return self.answer_json({"user": self.owner, "connection": self.client_address[1]})
        self.answer("who are you?\n", 401, WWW_Authenticate="NTLM", Proxy_Support="Session-Based-Authentication")

    def ask(self, line):
        self.helper.stdin.write(line + "\n")
        word, _, rest = self.helper.stdout.readline().strip().partition(" ")
        return word, rest

    # ---- sites of their own

    def git(self):
        """git's smart protocol over /run/bed/git, by git's own CGI program."""
        body = b"".join(self.body())
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        url = urllib.parse.urlsplit(self.path)
        env = {**os.environ, "GIT_PROJECT_ROOT": str(RUN / "git"), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": url.path,
               "QUERY_STRING": url.query, "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
               "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "CONTENT_LENGTH": str(len(body))}
        out = subprocess.run(["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE, check=False).stdout
        head, _, page = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        self.answer(page, status, headers.pop("Content-Type", "text/plain"), **headers)

    def npm(self):
        """A registry with one package."""
        files = {"package.json": json.dumps({"name": "hallpass-probe", "version": "1.0.0", "main": "index.js"}),
                 "index.js": "module.exports = 'hallpass probe'\n"}
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for name, text in files.items():
                member = tarfile.TarInfo("package/" + name)
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
        if self.path.endswith(".tgz"):
            return self.answer(TARBALLS.setdefault("npm", out.getvalue()), kind="application/octet-stream")
        if self.parts != ["hallpass-probe"]:
            return self.get_missing()
        tarball = TARBALLS.setdefault("npm", out.getvalue())
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode()
        dist = {"tarball": "https://registry.test/hallpass-probe/-/hallpass-probe-1.0.0.tgz", "integrity": integrity}
        self.answer_json({"name": "hallpass-probe", "dist-tags": {"latest": "1.0.0"},
                          "versions": {"1.0.0": {"name": "hallpass-probe", "version": "1.0.0", "dist": dist}}})

    def pip(self):
        """An index with one wheel."""
        wheel = "hallpass_probe-1.0.0-py3-none-any.whl"
        if self.path == "/simple/hallpass-probe/":
            return self.answer(f'<!DOCTYPE html><a href="/files/{wheel}">{wheel}</a>', kind="text/html")
        if self.path != f"/files/{wheel}":
            return self.get_missing()
        info = "hallpass_probe-1.0.0.dist-info"
        files = {"hallpass_probe.py": "probe = 'hallpass probe'\n",
                 f"{info}/METADATA": "Metadata-Version: 2.1\nName: hallpass-probe\nVersion: 1.0.0\n",
                 f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
        files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        self.answer(out.getvalue(), kind="application/octet-stream")

    def claude(self):
        """The Messages API, streamed; whatever else the CLI asks gets an empty object."""
        body = b"".join(self.body())
        if self.command != "POST" or not self.path.startswith("/v1/messages"):
            return self.answer_json({})
        if "count_tokens" in self.path:
            return self.answer_json({"input_tokens": 1})
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": json.loads(body)["model"], "content": [],
                   "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
        text = "hello from the stub"
        if not json.loads(body).get("stream"):
            return self.answer_json({**message, "content": [{"type": "text", "text": text}], "stop_reason": "end_turn"})
        self.start_chunks("text/event-stream")
        for event in (
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 5}},
            {"type": "message_stop"},
        ):
            self.chunk(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        self.chunk(b"")


TARBALLS = {}


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True
    context = None

    def finish_request(self, request, client_address):
        if self.context:   # in the connection's own thread: a slow greeting delays nobody
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError)):
            super().handle_error(request, client_address)


# ---- raw TCP -------------------------------------------------------------------------------------------------------

BLOCK = hashlib.sha256(b"hallpass").digest() * 32768   # 1 MiB


def raw(connection):
    """One line says what to do: `send N`, `take N` (answers the hash), `echo` (each piece as it comes)."""
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = b""
        while not line.endswith(b"\n"):
            piece = connection.recv(1)
            if not piece:
                return
            line += piece
        what, _, size = line.decode().strip().partition(" ")
        if what == "echo":
            while piece := connection.recv(65536):
                connection.sendall(piece)
        elif what == "send":
            with open(RUN / "block", "rb") as block:
                for _ in range(int(size) // len(BLOCK)):
                    connection.sendfile(block, 0)
        elif what == "take":
            digest, left, buffer = hashlib.sha256(), int(size), bytearray(1 << 20)
            while left and (got := connection.recv_into(buffer)):
                digest.update(memoryview(buffer)[:got])
                left -= got
            connection.sendall(digest.hexdigest().encode() + b"\n")


def serve_raw():
    (RUN / "block").write_bytes(BLOCK)
    listener = socket.create_server(("127.0.0.80", RAW_PORT), backlog=256)
    while True:
        threading.Thread(target=raw, args=listener.accept()[:1], daemon=True).start()


def make_repository():
    """A repository with a few hundred files to clone."""
    work = RUN / "git" / "work"
    run = lambda *command: subprocess.run(command, cwd=work, check=True, stdout=subprocess.DEVNULL, env={
        **os.environ, "HOME": str(RUN), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@origin.test",
        "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@origin.test"})
    work.mkdir(parents=True)
    for n in range(300):
        (work / f"file-{n}").write_text(hashlib.sha256(str(n).encode()).hexdigest() * 50)
    run("git", "init", "-q", "-b", "main")
    run("git", "add", ".")
    run("git", "commit", "-q", "-m", "Add files to clone")
    run("git", "clone", "-q", "--bare", ".", "../probe.git")


def main():
    make_repository()
    threading.Thread(target=serve_raw, daemon=True).start()
    plain = Server(("127.0.0.80", 80), Site)
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    secure = Server(("127.0.0.80", 443), Site)
    secure.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secure.context.load_cert_chain(CA / "origin.pem", CA / "origin.key")
    secure.serve_forever()


if __name__ == "__main__":
    main()
