"""Programs that have been told by `hallpass env --write`, each with no variable set, through a proxy that wants a log-in."""
from pathlib import Path

from harness import CA_FILE, HALLPASS, NPM, equal, origin_log, test, wait_for
from tests_moving import ALICE

APT = Path("/etc/apt/apt.conf.d/95hallpass")   # of the bed, which has an /etc of its own


def told(t, tool, *more):
    """A relay, and the tool's file in the test's home."""
    relay = t.relay("ntlm", **ALICE)
    t.run(HALLPASS, "env", "--no-config", "--listen", "%s:%d" % relay.address, "--for", tool, "--write", *more)
    return relay


def undone(t, relay, tool, *files):
    t.run(HALLPASS, "env", "--no-config", "--listen", "%s:%d" % relay.address, "--for", tool, "--undo")
    for file in files:
        assert not file.exists(), f"{file} is still there"


def asked_for(relay, target):
    wait_for(f"a record of {target}", lambda: any(record["target"] == target for record in relay.audit()))


@test("git clones over https by what env wrote")
def git(t):
    relay = told(t, "git", "--ca", CA_FILE)
    t.run("/usr/bin/git", "clone", "-q", "https://git.test/probe.git", "clone")
    equal(len(list((t.dir / "clone").glob("file-*"))), 300, "files")
    asked_for(relay, "git.test:443")
    undone(t, relay, "git", t.dir / ".gitconfig")


@test("npm installs over https by what env wrote")
def npm(t):
    relay = told(t, "npm", "--ca", CA_FILE)
    (t.dir / "project").mkdir()
    (t.dir / "project" / "package.json").write_text('{"private": true}')
    t.run("npm", "--prefix", t.dir / "project", "--registry", "https://registry.test/", "--no-audit", "--no-fund",
          "--no-update-notifier", "--fetch-retries", "0", "--cache", t.dir / "cache", "install", "hallpass-probe")
    assert (t.dir / "project" / "node_modules" / "hallpass-probe" / "index.js").exists()
    asked_for(relay, "registry.test:443")
    undone(t, relay, "npm", t.dir / ".npmrc")


@test("pip installs over https by what env wrote")
def pip(t):
    relay = told(t, "pip", "--ca", CA_FILE)
    t.run("/usr/bin/python3", "-m", "pip", "--disable-pip-version-check", "install", "--no-cache-dir", "--target", t.dir / "site",
          "--index-url", "https://index.test/simple/", "hallpass-probe")
    assert (t.dir / "site" / "hallpass_probe.py").exists()
    asked_for(relay, "index.test:443")
    undone(t, relay, "pip", t.dir / ".config")


@test("apt asks the relay by what env wrote")
def apt(t):
    relay = told(t, "apt")
    assert APT.exists()
    (t.dir / "sources.list").write_text(f"deb [trusted=yes] http://{t.site}/debian ./\n")
    for name in ("lists/partial", "archives/partial"):
        (t.dir / name).mkdir(parents=True)
    t.run("apt-get", "-o", f"Dir::Etc::SourceList={t.dir}/sources.list", "-o", "Dir::Etc::SourceParts=-", "-o", f"Dir::State::Lists={t.dir}/lists",
          "-o", f"Dir::Cache={t.dir}", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=0", "update", check=False)
    asked_for(relay, f"{t.site}:80")
    undone(t, relay, "apt", APT)


@test("curl in a new bash fetches over https by what env wrote")
def bash(t):
    relay = told(t, "bash", "--ca", CA_FILE)
    out = t.run("bash", "-ic", f"curl -sS https://{t.site}/hello")
    assert "hello from the origin" in out, out
    asked_for(relay, f"{t.site}:443")
    undone(t, relay, "bash", t.dir / ".bashrc")


@test("Claude Code answers a prompt by what env wrote into its settings")
def claude(t):
    relay = told(t, "claude", "--ca", CA_FILE)
    before = len(origin_log("api.anthropic.com"))
    out = t.run(NPM / ".bin" / "claude", "-p", "hi", stdin="", seconds=120, ANTHROPIC_API_KEY="test")
    assert "hello from the stub" in out, out
    asked = [line["path"] for line in origin_log("api.anthropic.com")[before:] if line["path"].startswith("/v1/messages")]
    assert asked, "no prompt reached the origin"
    undone(t, relay, "claude", t.dir / ".claude" / "settings.json")
