#!/usr/bin/env python3
"""Asks real clients whether they go to the proxy, for every row of a table of NO_PROXY values and targets.

    unshare --net --mount --propagation private tests/real/no_proxy/world.py NODE <TABLE >ANSWERS

Needs a network namespace of its own, in which every address leads to one server here. That server is the proxy and every
target at once: a request with a whole URL was meant for the proxy. The answers are the table with the versions and the columns
of the clients as they were seen; our own column is left as it is.
"""
import csv
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROXY = "http://203.0.113.1:3128"
CLIENTS = ["curl", "wget", "go", "requests", "undici"]


class Anyone(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    tunnelled = False

    def do_CONNECT(self):   # undici asks for a tunnel even where http needs none
        self.tunnelled = True
        self.send_response(200)
        self.end_headers()
        self.close_connection = False   # it says "close" in the CONNECT, and means after the tunnel

    def do_GET(self):
        said = b"proxy" if self.tunnelled or self.path.startswith("http://") else b"direct"
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 64


def serve(ports):
    for port in ports:
        threading.Thread(target=Server(("::", port), Anyone).serve_forever, daemon=True).start()


def world(names, scratch):
    run = lambda *command: subprocess.run(command, check=True)
    run("ip", "link", "set", "lo", "up")
    run("ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo")
    run("ip", "-6", "route", "add", "local", "::/0", "dev", "lo")
    files = {"hosts": "127.0.0.1 localhost\n" + "".join(f"203.0.113.80 {name} {name.rstrip('.')}.\n" for name in sorted(names)),
             "nsswitch.conf": "hosts: files\n", "resolv.conf": ""}
    for name, text in files.items():
        path = Path(scratch) / name
        path.write_text(text)
        run("mount", "--bind", path, f"/etc/{name}")


def ask(client, value, urls, node, scratch):
    """What the client did, in the order of the URLs."""
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": scratch, "LANG": "C.UTF-8", "NODE_USE_ENV_PROXY": "1", "NODE_NO_WARNINGS": "1",
           "http_proxy": PROXY, "HTTP_PROXY": PROXY, "no_proxy": value, "NO_PROXY": value}
    command = {"go": [f"{scratch}/ask"], "requests": ["/usr/bin/python3", HERE / "ask.py"], "undici": [node, HERE / "ask.mjs"],
               "curl": ["curl", "-sg", "--max-time", "10"], "wget": ["wget", "-q", "-O", "-", "--tries=1", "--timeout=10"]}[client]
    if client in ("curl", "wget"):
        said = [subprocess.run([*command, url], env=env, capture_output=True, text=True).stdout or "-" for url in urls]
    else:
        said = subprocess.run([*command, *urls], env=env, capture_output=True, text=True, check=True).stdout.split()
    assert len(said) == len(urls) and set(said) <= {"proxy", "direct", "-"}, f"{client} {value!r}: {said}"
    return said


def versions(node):
    """A line for each client, so that a table says whose it is."""
    for name, *command in (("curl", "curl", "--version"), ("wget", "wget", "--version"), ("go", "go", "version"),
                           ("requests", "/usr/bin/python3", "-c", "import requests; print(requests.__version__)"),
                           ("undici", node, "-p", "process.versions.undici + ' in Node ' + process.version")):
        line = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
        yield f"# {name}: {re.search(r'[0-9][0-9.]*( in Node v[0-9.]+)?', line)[0]}"


def is_name(host):
    return not host.startswith("[") and not host.replace(".", "").isdigit()


def main():
    node, = sys.argv[1:]
    lines = [line for line in sys.stdin.read().splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    by_value = {}
    for row in rows:
        by_value.setdefault(row["no_proxy"], []).append(row)
    targets = [row["target"].rsplit(":", 1) for row in rows]
    print("\n".join(versions(node)))
    with tempfile.TemporaryDirectory() as scratch:
        os.chmod(scratch, 0o755)
        subprocess.run(["go", "build", "-o", f"{scratch}/ask", HERE / "ask.go"], check=True,
                       env={"PATH": os.environ["PATH"], "HOME": scratch, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0",
                            "GOCACHE": os.environ.get("GOCACHE", f"{scratch}/go")})
        world({host for host, _ in targets if is_name(host)}, scratch)
        serve({3128} | {int(port) for _, port in targets})

        def fill(job):
            value, client = job
            asked = by_value[value]
            urls = ["http://" + row["target"] + "/" for row in asked]
            for row, said in zip(asked, ask(client, json.loads(f'"{value}"'), urls, node, scratch)):
                row[client] = said

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(fill, [(value, client) for value in by_value for client in CLIENTS]))
    writer = csv.DictWriter(sys.stdout, rows[0].keys(), delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    main()
