"""What `hallpass doctor` finds and writes behind real proxies: presets, WebSockets, event streams, what goes to others."""
import json
import subprocess

from harness import CA_FILE, HALLPASS, bad_logons, equal, passed, test
from layout import ACCOUNTS, SITES
from tests_moving import ALICE


def doctor(t, relay, *arguments, **env):
    """Its checks by name. It goes by the relay's configuration; a relay need not run."""
    command = [HALLPASS, "doctor", "--config", relay.dir / "hallpass.toml", "--json", *arguments]
    done = subprocess.run([str(c) for c in command], cwd=t.dir, env=t.env(SSL_CERT_FILE=str(CA_FILE), **env), capture_output=True,
                          text=True, timeout=120)
    assert done.stdout.startswith("{"), f"{done.returncode}: {done.stdout}{done.stderr}"
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}, done.stdout + done.stderr


def own_preset(t, **hosts):
    path = t.dir / "own.toml"
    path.write_text('name = "own"\nabout = "Ours"\n' + "".join(
        f'[[hosts]]\nhost = "{t.site}"\nlevel = "required"\nfor = "work"\nsource = "us"\nkind = "{kind}"\npath = "{place}"\n'
        for kind, place in hosts.items()))
    return path


def says(checks, name, state, words):
    check = checks[name]
    assert check["state"] == state and words in check["says"], check


@test("doctor finds every host of Claude through an NTLM proxy, and loses no try of the account")
def preset(t):
    relay = t.relay("ntlm", **ALICE)
    before = bad_logons("alice")
    checks, _ = doctor(t, relay, "--preset", "claude")
    for site in SITES:
        if f"https {site}" in checks:
            says(checks, f"https {site}", "ok", "by http://proxy.corp.test:3123")
    says(checks, "wss bridge.claudeusercontent.com", "warning", "answered with 404, by the target or by who reads along")
    # Squid does not know these names.
    says(checks, "https formulae.brew.sh", "skipped", "CONNECT was answered with 403")
    says(checks, "https github.com", "warning", "CONNECT was answered with 403")
    equal(bad_logons("alice"), before, "wrong passwords")


@test("doctor opens a WebSocket and hears events as they are sent through Squid {}", each=["ntlm", "tls"])
def streams(t, kind):
    relay = t.relay(kind, **ALICE)
    url = f"https://{t.site}/sse?n=4&ms=300"
    checks, _ = doctor(t, relay, "--preset", own_preset(t, wss="/ws"), "--sse-url", url)
    says(checks, f"wss {t.site}", "ok", "a WebSocket opens")
    says(checks, f"events of https://{t.site}/sse", "ok", "4 events arrived as they were sent")
    checks, _ = doctor(t, relay, "--sse-url", url.replace("https", "http"), f"https://{t.site}/")
    says(checks, f"events of http://{t.site}/sse", "ok", "4 events arrived as they were sent")
    assert "GET" in {entry.method for entry in passed(kind, t.site, 3)}, "the stream by http went as a request"


NAMES = ["alice", "corp.", "corp\\", "proxy.corp", "origin.test", ACCOUNTS["alice"]]


def without_names(t, path, *more):
    assert path.stat().st_mode & 0o777 == 0o600, oct(path.stat().st_mode)
    text = path.read_text()
    for name in [*NAMES, t.site, str(t.dir), *more]:
        assert name.lower() not in text.lower(), f"{name} stands in {path}:\n{text}"
    return text


@test("doctor records an NTLM log-in at Squid without names, tokens that could be used, or passwords")
def record_ntlm(t):
    relay = t.relay("ntlm", **ALICE)
    path = t.dir / "log-in.txt"
    doctor(t, relay, "--preset", own_preset(t, https="/"), "--record", path)
    text = without_names(t, path)
    lines = text.splitlines()
    # Our third message is blank behind its type, the challenge before it is whole.
    proof, = (line for line in lines if "Proxy-Authorization: NTLM TlRMTVNTUAAD" in line)
    assert set(proof.split("TlRMTVNTUAAD")[1].split("\\r")[0]) <= set("A="), proof
    assert any("Proxy-Authenticate: NTLM TlRMTVNTUAAC" in line for line in lines), text
    assert any("HTTP/1.1 200" in line for line in lines), text


@test("doctor records a Kerberos log-in at Squid without the ticket")
def record_kerberos(t):
    t.kinit("alice")
    relay = t.relay("negotiate")
    path = t.dir / "log-in.txt"
    doctor(t, relay, "--preset", own_preset(t, https="/"), "--record", path)
    text = without_names(t, path)
    ticket, = (line for line in text.splitlines() if "Proxy-Authorization: Negotiate YII" in line)
    token = ticket.split("Negotiate ")[1].split("\\r")[0]
    assert len(token) > 1000 and set(token[6:]) <= set("A="), ticket


@test("doctor's bundle holds no name of anybody, and no secret")
def bundle(t):
    relay = t.relay("combo", **ALICE)
    path = t.dir / "bundle.txt"
    proxy = "http://carol:Carol-Pw-2@gateway.corp.test:8080"
    _, said = doctor(t, relay, f"https://{t.site}/", "--sse-url", f"http://{t.site}/sse?n=2&ms=10&key=token-4711", "--bundle", path,
                     HTTPS_PROXY=proxy)
    text = without_names(t, path, "carol", "gateway", "token-4711", ACCOUNTS["carol"])
    assert "==== checks ====" in text and "==== configuration ====" in text and "==== log-in ====" in text, text
    assert ACCOUNTS["carol"] not in said and "holds, without names and secrets" in said, said
