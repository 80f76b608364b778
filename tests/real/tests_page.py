"""The status page as a browser shows it, and the metrics as a collector reads them."""
import json
import os
import socket
import subprocess
import threading

from harness import HALLPASS, NPM, ROOT, equal, read_head, test, wait_for

LOOK = ROOT / "tests" / "page" / "look.mjs"
PARSER = ROOT / "tests" / "page" / "metrics.py"
HTML = "<script>alert(1)</script><img src=x onerror=alert(2)>"
PICTURES = ROOT / "docs" / "images"


def talk(connection, over):
    """Sends, until it is over or the relay is gone."""
    try:
        while not over.wait(0.1):
            connection.sendall(b"x" * 1000)
    except OSError:
        pass


def hostile_upstream():
    """One whose words are HTML, for hostile.test: the tables of a configuration."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        connection, _ = listener.accept()
        with connection:
            read_head(connection)
            connection.sendall(f"HTTP/1.1 403 {HTML}\r\nContent-Length: 0\r\n\r\n".encode())
    threading.Thread(target=answer, daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    return f'[upstreams.hostile]\nurl = "{url}"\n[[rules]]\nhosts = ["hostile.test"]\nuse = "hostile"\n'


def hear(connection):
    try:
        while connection.recv(65536):
            pass
    except OSError:
        pass


def look(t, relay, *pictures):
    """What a headless Chromium saw; at its end it waits for the relay to be gone."""
    command = ["node", LOOK, NPM, f"{relay.url}/", *pictures]
    with subprocess.Popen([str(c) for c in command], cwd=t.dir, env=t.env(XDG_CONFIG_HOME=str(t.dir)), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as node:
        said = []
        for line in node.stdout:
            said.append(line)
            if line == "end the relay\n":
                relay.stop()
        assert node.wait() == 0, "".join(said)[-3000:]
    return json.loads(said[-1])


@test("the status page in Chromium: no complaint, nothing serious for axe, it follows a tunnel without being loaded again")
def the_page(t):
    pictures = [PICTURES] if os.environ.get("HALLPASS_PICTURES") else []
    hostile = "" if pictures else hostile_upstream()
    relay = t.relay("ntlm", user="alice", tables=hostile + '[[rules]]\nhosts = ["ads.test"]\nuse = "deny"\n')
    silent, busy = t.tunnel(relay, host="origin.test"), t.tunnel(relay)
    busy.sendall(b"echo\n")
    t.curl(relay, "https://blocked.test/")
    t.curl(relay, "https://ads.test/")
    if hostile:
        t.curl(relay, "https://hostile.test/")
    over = threading.Event()
    threading.Thread(target=talk, args=(busy, over), daemon=True).start()
    threading.Thread(target=hear, args=(busy,), daemon=True).start()
    try:
        seen = look(t, relay, *pictures)
    finally:
        over.set()
        silent.close()
        busy.close()
    equal(seen["complaints"], [], "what the console says, violations of the policy among it")
    equal(seen["foreign"], [], "requests to anywhere else")
    equal(seen["serious"], [], "findings of axe-core")
    equal(seen["overflow"], [], "widths at which the page must be scrolled sideways")
    assert not hostile or HTML in seen["failures"], seen["failures"]
    assert "at fault:" in seen["failures"], seen["failures"]
    equal(seen["scripts"], 0, "scripts where text should be")
    assert all(update["same"] and update["after"] > update["before"] for update in seen["updates"]), seen["updates"]
    equal(len(seen["updates"]), 5, "looks at a tunnel at work")
    names = [step["name"] for step in seen["order"]]
    assert "Target" in names and "scroller" in names, names
    assert names[-3:] == ["The same as JSON", "Metrics", "PAC script for browsers"], names
    assert all(step["visible"] for step in seen["order"]), seen["order"]
    equal((seen["sorted"]["head"], seen["sorted"]["focus"], seen["filtered"]), ("descending", "Target", 0), "order, focus, filter")
    equal(seen["sorted"]["rows"], sorted(seen["sorted"]["rows"], reverse=True), "rows")
    equal(seen["still"], 2, "tunnels without a script")
    assert seen["gone"].startswith("The relay does not answer since"), seen["gone"]


@test("the metrics are read by Prometheus' own parser, and count what was done")
def the_metrics(t):
    relay = t.relay("ntlm", user="alice")
    equal(t.curl(relay, f"https://{t.site}/hello").status, 200, "status")
    # The system's own Python: its packages are what is installed.
    families = json.loads(t.run("/usr/bin/python3", PARSER, stdin=t.run("curl", "-sSf", f"{relay.url}/metrics")))
    kinds = {"hallpass_build_info": "gauge", "hallpass_clients_open": "gauge", "hallpass_tunnels_open": "gauge",
             "hallpass_requests": "counter", "hallpass_bytes": "counter", "hallpass_handshake_seconds": "histogram",
             "hallpass_logons": "counter", "hallpass_breaker_open": "gauge", "hallpass_hop_up": "gauge",
             "hallpass_pac_seconds": "histogram", "hallpass_config_reload": "counter"}
    equal({name: family["type"] for name, family in families.items()}, kinds, "families and their types")
    assert all(family["help"] for family in families.values())
    logons = {tuple(labels.values()): value for _, labels, value in families["hallpass_logons"]["samples"]}
    equal(logons, {("ntlm", "accepted"): 1.0}, "log-ons")
    buckets = [value for name, _, value in families["hallpass_handshake_seconds"]["samples"] if name.endswith("_bucket")]
    assert buckets == sorted(buckets) and buckets[-1] == 1, buckets


@test("the tunnels in `hallpass status` are those that are open, with the program behind each")
def the_command(t):
    relay = t.relay("ntlm", user="alice")
    connection = t.tunnel(relay)
    connection.sendall(b"echo\n" + b"x" * 3000)
    config = relay.dir / "hallpass.toml"
    environment = {"XDG_RUNTIME_DIR": str(relay.dir / "run"), "XDG_STATE_HOME": str(relay.dir / "state")}
    said = wait_for("its bytes", lambda: (text if "2.9 KiB" in (text := t.run(HALLPASS, "status", "--tunnels", "--config", config, **environment)) else None))
    line = next(line for line in said.splitlines() if t.site in line)
    assert "python" in line and "http://proxy.corp.test" in line, said
    assert "NTLM as alice" in said or "NTLM as CORP\\alice" in said, said
    head = said.split("\n\n")[0]
    assert len(head.splitlines()) < 25, said
    connection.close()
