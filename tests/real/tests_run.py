"""`hallpass run` in front of real programs, through an NTLM proxy, with no relay running."""
import json
import subprocess

from harness import CA_FILE, HALLPASS, NPM, SQUIDS, bad_logons, equal, passed, test, unlock
from layout import ACCOUNTS


def run(t, *program, user="alice", password=None, stdin=None, seconds=120, check=True, **env):
    """One program with a relay of its own; what it prints."""
    return t.run(HALLPASS, "run", "--upstream", SQUIDS["ntlm"].url, "--user", f"CORP\\{user}", "--ca", CA_FILE, "--", *program,
                 stdin=stdin, seconds=seconds, check=check, HALLPASS_PASSWORD=password or ACCOUNTS[user], **env)


def nothing_left(t):
    """No process of ours of this test's home."""
    out = subprocess.run(["pgrep", "-af", "--", "--only-relay"], capture_output=True, text=True).stdout
    mine = []
    for line in out.splitlines():
        try:
            with open(f"/proc/{line.split()[0]}/environ") as environ:
                if f"HOME={t.dir}\0" in environ.read():
                    mine.append(line)
        except OSError:
            pass
    equal(mine, [], "relays left")


@test("hallpass run lets git clone with no relay running")
def git(t):
    run(t, "/usr/bin/git", "clone", "-q", "https://git.test/probe.git", "clone")
    equal(len(list((t.dir / "clone").glob("file-*"))), 300, "files")
    nothing_left(t)


@test("hallpass run lets npm install with no relay running")
def npm(t):
    (t.dir / "package.json").write_text('{"private": true}')
    settings = {"registry": "https://registry.test/", "cafile": CA_FILE, "cache": t.dir / "cache", "userconfig": t.dir / "npmrc",
                "globalconfig": t.dir / "global-npmrc", "audit": "false", "fund": "false", "update_notifier": "false", "fetch_retries": "0"}
    run(t, "npm", "install", "hallpass-probe", **{f"npm_config_{name}": str(value) for name, value in settings.items()})
    assert (t.dir / "node_modules" / "hallpass-probe" / "index.js").exists()
    nothing_left(t)


@test("hallpass run lets Node's fetch through with no relay running and no variable of Node set")
def node(t):
    script = f"console.log(await (await fetch('https://{t.site}/hello')).text())"
    out = run(t, NPM / ".bin" / "node", "--input-type=module", "-e", script, NODE_NO_WARNINGS="1")
    equal(out, "hello from the origin\n\n", "what it printed")
    passed("ntlm", t.site)
    nothing_left(t)


@test("hallpass run lets Claude Code answer a prompt with no relay running")
def claude(t):
    out = run(t, NPM / ".bin" / "claude", "-p", "hi", stdin="", ANTHROPIC_API_KEY="test")
    assert "hello from the stub" in out, out
    nothing_left(t)


@test("hallpass run twice with a wrong password is one bad logon, and says where it is written")
def wrong(t):
    unlock("lock-run")
    for _ in range(2):
        out = run(t, "curl", "-sS", "--max-time", "20", f"http://{t.site}/hello", user="lock-run", password="wrong")
        assert "a request failed: see " in out, out
        place = out.rsplit("a request failed: see ", 1)[1].strip()
        with open(place) as records:
            equal(json.loads(records.readlines()[-1])["target"], f"{t.site}:80", "the record")
    equal(bad_logons("lock-run"), 1, "bad logons in the directory")
    unlock("lock-run")
