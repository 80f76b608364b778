"""The programs people use, each through an NTLM proxy with nothing but the usual variables."""
import json

from harness import CA_FILE, NPM, equal, origin_log, passed, test, wait_for
from tests_moving import ALICE


def variables(relay, **more):
    """What a user sets: the proxy, and the test authority for the tools that don't read the system's store."""
    proxies = {name: relay.url for upper in ("HTTP_PROXY", "HTTPS_PROXY") for name in (upper, upper.lower())}
    return {**proxies, "NO_PROXY": "", "no_proxy": "", "SSL_CERT_FILE": str(CA_FILE), **more}


@test("curl with the usual variables fetches by http and https")
def curl(t):
    relay = t.relay("ntlm", **ALICE)
    for scheme in ("http", "https"):
        equal(t.run("curl", "-sS", "--cacert", CA_FILE, f"{scheme}://{t.site}/hello", **variables(relay)), "hello from the origin\n", scheme)
    equal(len(passed("ntlm", t.site, 2)), 2, "requests in the proxy's log")


@test("wget fetches by http and https")
def wget(t):
    relay = t.relay("ntlm", **ALICE)
    for scheme in ("http", "https"):
        out = t.run("wget", "-q", "-O", "-", f"--ca-certificate={CA_FILE}", f"{scheme}://{t.site}/hello", **variables(relay))
        equal(out, "hello from the origin\n", scheme)
    equal(len(passed("ntlm", t.site, 2)), 2, "requests in the proxy's log")


@test("git clones over https")
def git(t):
    relay = t.relay("ntlm", **ALICE)
    t.run("/usr/bin/git", "clone", "-q", "https://git.test/probe.git", "clone", **variables(relay, GIT_SSL_CAINFO=str(CA_FILE)))
    equal(len(list((t.dir / "clone").glob("file-*"))), 300, "files")
    wait_for("the record of a tunnel", lambda: any(record["target"] == "git.test:443" for record in relay.audit()))


@test("pip installs from an index over https")
def pip(t):
    relay = t.relay("ntlm", **ALICE)
    t.run("/usr/bin/python3", "-m", "pip", "--isolated", "--disable-pip-version-check", "install", "--no-cache-dir", "--target", t.dir / "site",
          "--index-url", "https://index.test/simple/", "--cert", CA_FILE, "--proxy", relay.url, "hallpass-probe")
    assert (t.dir / "site" / "hallpass_probe.py").exists()


@test("npm installs from a registry over https")
def npm(t):
    relay = t.relay("ntlm", **ALICE)
    (t.dir / "package.json").write_text('{"private": true}')
    settings = {"registry": "https://registry.test/", "cafile": CA_FILE, "cache": t.dir / "cache", "userconfig": t.dir / "npmrc",
                "globalconfig": t.dir / "global-npmrc", "audit": "false", "fund": "false", "update_notifier": "false", "fetch_retries": "0"}
    t.run("npm", "install", "hallpass-probe", **variables(relay, **{f"npm_config_{name}": str(value) for name, value in settings.items()}))
    assert (t.dir / "node_modules" / "hallpass-probe" / "index.js").exists()


@test("Node's fetch with NODE_USE_ENV_PROXY fetches and posts by http and https")
def node(t):
    relay = t.relay("ntlm", **ALICE)
    script = f"""
      for (const scheme of ['http', 'https']) {{
        const hello = await (await fetch(scheme + '://{t.site}/hello')).text()
        const echo = await (await fetch(scheme + '://{t.site}/echo', {{method: 'POST', body: 'x'.repeat(100000)}})).json()
        console.log(JSON.stringify([hello, echo.length]))
      }}"""
    out = t.run(NPM / ".bin" / "node", "--input-type=module", "-e", script,
                **variables(relay, NODE_USE_ENV_PROXY="1", NODE_EXTRA_CA_CERTS=str(CA_FILE), NODE_NO_WARNINGS="1"))
    equal([json.loads(line) for line in out.splitlines()], [["hello from the origin\n", 100000]] * 2, "answers")


@test("Python's urllib fetches and posts by http and https")
def urllib(t):
    relay = t.relay("ntlm", **ALICE)
    script = f"""
import json, urllib.request
for scheme in ('http', 'https'):
    hello = urllib.request.urlopen(scheme + '://{t.site}/hello').read().decode()
    echo = json.load(urllib.request.urlopen(scheme + '://{t.site}/echo', b'x' * 100000))
    print(json.dumps([hello, echo['length']]))
"""
    out = t.run("/usr/bin/python3", "-c", script, **variables(relay))
    equal([json.loads(line) for line in out.splitlines()], [["hello from the origin\n", 100000]] * 2, "answers")


@test("Claude Code answers a prompt")
def claude(t):
    relay = t.relay("ntlm", **ALICE)
    before = len(origin_log("api.anthropic.com"))
    out = t.run(NPM / ".bin" / "claude", "-p", "hi", stdin="", seconds=120,
                **variables(relay, ANTHROPIC_API_KEY="test", NODE_EXTRA_CA_CERTS=str(CA_FILE)))
    assert "hello from the stub" in out, out
    asked = [line["path"] for line in origin_log("api.anthropic.com")[before:] if line["path"].startswith("/v1/messages")]
    assert asked, "no prompt reached the origin"
    def tunnelled():
        return [r for r in relay.audit() if r["target"] == "api.anthropic.com:443" and r.get("status") == 200]
    wait_for("the tunnel in the audit log", tunnelled)
