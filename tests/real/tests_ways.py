"""Ways in besides an HTTP proxy's: ssh by hallpass connect and by a tunnel port, SOCKS, and plain HTTP in tunnels to port 80."""
import hashlib
import subprocess

from harness import CA_FILE, HALLPASS, MIB, NPM, RUN, equal, origin_log, passed, random_file, squid_log, test, wait_for
from layout import SSH, SSH_PORT, SSH_SITE
from tests_clients import variables
from tests_moving import ALICE

TUNNEL = f'[[tunnels]]\nlisten = "127.0.0.1:0"\ntarget = "{SSH_SITE}:{SSH_PORT}"\n'
SOCKS = '[[listeners]]\ninterface = "lo"\nport = 0\nsocks5 = true\n'


def ssh_command(relay, way):
    """ssh to the SSH server with the throw-away keys and nothing of the user's, and where it finds it."""
    options = ["-F", "/dev/null", "-i", SSH / "user", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
               "-o", f"UserKnownHostsFile={SSH / 'known_hosts'}", "-o", f"HostKeyAlias={SSH_SITE}", "-o", "CheckHostIP=no"]
    if way == "connect":
        host, port = SSH_SITE, SSH_PORT
        options += ["-o", "ProxyCommand=%s connect %%h:%%p --listen %s:%d" % (HALLPASS, *relay.address)]
    else:
        host, port = relay.way(f"{SSH_SITE}:{SSH_PORT}")
    return ["ssh", *map(str, options)], host, port


@test("ssh by {} runs a command and moves 20 MiB both ways through an NTLM proxy", each=["connect", "a tunnel port"])
def ssh(t, way):
    relay = t.relay("ntlm", tables=TUNNEL, **ALICE)
    command, host, port = ssh_command(relay, way)
    remote = [*command, "-p", str(port), f"root@{host}"]
    equal(t.run(*remote, "echo hello; exit 7", check=False), "hello\n", "what the command printed")
    path, digest = random_file(20 * MIB)
    with path.open("rb") as data:
        done = subprocess.run([*remote, "cat"], stdin=data, stdout=subprocess.PIPE, env=t.env(), timeout=60, check=True)
    equal(hashlib.sha256(done.stdout).hexdigest(), digest, "what came back")
    def recorded():
        return [r for r in relay.audit() if r["target"] == f"{SSH_SITE}:{SSH_PORT}" and r["end"] == "done"]
    records = wait_for("the tunnels in the audit log", lambda: len(recorded()) == 2 and recorded())
    equal({(r["method"], r["scheme"], r["hop"]) for r in records}, {("CONNECT", "NTLM", "http://proxy.corp.test:3123")}, "records")
    assert records[1]["bytes_up"] > 20 * MIB and records[1]["bytes_down"] > 20 * MIB, records[1]


@test("git clones by ssh through {} behind an NTLM proxy", each=["connect", "a tunnel port"])
def git(t, way):
    relay = t.relay("ntlm", tables=TUNNEL, **ALICE)
    command, host, port = ssh_command(relay, way)
    quoted = " ".join(f"'{part}'" for part in command)
    t.run("/usr/bin/git", "clone", "-q", f"ssh://root@{host}:{port}{RUN}/git/probe.git", "clone", GIT_SSH_COMMAND=quoted)
    equal(len(list((t.dir / "clone").glob("file-*"))), 300, "files")
    wait_for("the record of a tunnel", lambda: any(r["target"] == f"{SSH_SITE}:{SSH_PORT}" for r in relay.audit()))


@test("ssh by connect says in one line why there is no way")
def ssh_refused(t):
    relay = t.relay("ntlm", keys="connect_ports = [443]\n", **ALICE)
    command, host, port = ssh_command(relay, "connect")
    out = t.run(*command, "-p", str(port), f"root@{host}", "true", check=False)
    assert f"no tunnel to {SSH_SITE}:{SSH_PORT}: 403 Forbidden: hallpass: CONNECT to port {SSH_PORT} is not allowed here" in out, out


@test("a program at a tunnel port that leads nowhere gets a reset and the log says why")
def tunnel_refused(t):
    relay = t.relay("ntlm", tables='[[tunnels]]\nlisten = "127.0.0.1:0"\ntarget = "blocked.test:443"\n', **ALICE)
    host, port = relay.way("blocked.test:443")
    out = t.run("curl", "-sS", f"https://{host}:{port}/", check=False)
    assert "reset by peer" in out, out
    record, = wait_for("the record", relay.audit)
    equal((record["end"], record["status"]), ("upstream_refused", 403), "the record")
    warning, = (line for line in relay.log.read_text().splitlines() if "no tunnel" in line)
    assert record["id"] in warning and "403" in warning, warning


@test("curl with --{} fetches by https through an NTLM proxy", each=["socks5-hostname", "socks4a"])
def socks(t, kind):
    relay = t.relay("ntlm", tables=SOCKS, **ALICE)
    url = f"https://{t.site}/hello"
    equal(t.run("curl", "-sS", "--cacert", CA_FILE, f"--{kind}", "%s:%d" % relay.way("SOCKS5"), url), "hello from the origin\n", "the answer")
    equal([(e.method, e.status) for e in passed("ntlm", t.site)], [("CONNECT", 200)], "the proxy's log")
    record, = wait_for("the record", relay.audit)
    equal((record["method"], record["target"], record["scheme"], record["end"]), ("CONNECT", f"{t.site}:443", "NTLM", "done"), "the record")


@test("curl with --{} resolves the name itself and is served by its address", each=["socks5", "socks4"])
def socks_by_address(t, kind):
    relay = t.relay("ntlm", tables=SOCKS, **ALICE)
    url = f"https://{t.site}/hello"
    equal(t.run("curl", "-sS", "--cacert", CA_FILE, f"--{kind}", "%s:%d" % relay.way("SOCKS5"), url), "hello from the origin\n", "the answer")
    record, = wait_for("the record", relay.audit)
    equal((record["target"], record["end"]), ("127.0.0.80:443", "done"), "the record")


@test("curl hears from SOCKS that the proxy forbids a target")
def socks_denied(t):
    relay = t.relay("ntlm", tables=SOCKS, **ALICE)
    out = t.run("curl", "-sS", "--socks5-hostname", "%s:%d" % relay.way("SOCKS5"), "https://blocked.test/", check=False)
    assert "(2)" in out, out


FETCH = """
  for (let turn = 0; turn < 3; turn++) {
    const hello = await (await fetch('http://SITE/hello')).text()
    const echo = await (await fetch('http://SITE/echo', {method: 'POST', body: 'x'.repeat(100000)})).json()
    console.log(hello.trim(), echo.length)
  }"""


def fetch(t, relay, check=True):
    return t.run(NPM / ".bin" / "node", "--input-type=module", "-e", FETCH.replace("SITE", t.site), check=check,
                 **variables(relay, NODE_USE_ENV_PROXY="1", NODE_NO_WARNINGS="1"))


@test("Node's fetch gets http URLs through a proxy that gives no tunnels to port 80")
def port_80(t):
    relay = t.relay("no80", keys='connect_port_80 = "absolute-form"\n', **ALICE)
    equal(fetch(t, relay), "hello from the origin 100000\n" * 3, "answers")
    tried = [e for e in squid_log("no80", t.site) if e.method == "CONNECT" and e.status != 407]
    equal([e.status for e in tried], [403], "tunnels that were tried")
    equal([line["method"] for line in origin_log(t.site)], ["GET", "POST"] * 3, "requests at the origin")
    wait_for("a record of each method", lambda: {r["method"] for r in relay.audit()} == {"CONNECT", "GET", "POST"})
    equal({r["end"] for r in relay.audit()}, {"done"}, "how they ended")


@test("Node's fetch fails with http URLs where tunnels to port 80 are refused and nothing is done about it")
def port_80_off(t):
    relay = t.relay("no80", **ALICE)
    out = fetch(t, relay, check=False)
    assert "hello" not in out and "fetch failed" in out, out
