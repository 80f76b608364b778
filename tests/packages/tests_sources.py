"""What is made on other systems, or by somebody else's machines: as far as its sources can be judged here."""
import os
import plistlib
import re
import subprocess
import xml.etree.ElementTree as ElementTree

from harness import equal, test
from made import MADE, ROOT, mac, run

MACOS = ROOT / "packaging/macos"
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
# What the linter was made before.
NEWER = [r'label "(ubuntu-24\.04|ubuntu-24\.04-arm|macos-15)" is unknown', r'unknown permission scope "attestations"']


def checked(*command, **more):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    assert done.returncode == 0, f"{command[0]}:\n{done.stdout}"
    return done.stdout


@test("sources: every script of packaging is right for the shell that it names")
def scripts(t):
    names = [path for path in sorted((ROOT / "packaging").rglob("*")) if path.is_file() and path.read_bytes().startswith((b"#!/bin/sh", b"#!/bin/bash"))]
    names += [ROOT / "tests/packages/install"]
    assert len(names) >= 14, names
    checked("shellcheck", *names)
    for path in names:
        assert os.access(path, os.X_OK) or path.parent.name == "debian", f"{path} cannot be executed"


@test("macos: the installer puts everything where a Mac looks for it")
def lay_out(t):
    files = {str(path.relative_to(mac())) for path in mac().rglob("*") if path.is_file()}
    wanted = {"usr/local/bin/hallpass", "usr/local/share/man/man1/hallpass.1", "usr/local/share/zsh/site-functions/_hallpass",
              "Library/LaunchAgents/hallpass.relay.plist", "Library/Application Support/hallpass/hallpass.toml.default",
              "usr/local/share/hallpass/hallpass.relay.plist", "usr/local/share/hallpass/uninstall", "usr/local/share/doc/hallpass/licences.txt"}
    equal(sorted(wanted - files), [], "what is missing")


SUPPORT = "Library/Application Support/hallpass"
AGENT, DAEMON = "Library/LaunchAgents/hallpass.relay.plist", "Library/LaunchDaemons/hallpass.relay.plist"
# A launchd that has what the file `jobs` names, each with the number of its process; what is ended is still there when it is looked at first.
LAUNCHCTL = r"""#!/bin/sh
cd /mac || exit 1
echo "$*" >>asked
for last; do :; done
known() { grep -q "^$last " jobs; }
number() { sed -n "s|^$last ||p" jobs; }
without() { grep -v "^$last " jobs >others || true; mv others jobs; }
case $1 in
print) known || exit 113
    printf '%s = {\n\tstate = x\n%s\n}\n' "$last" "$(number | sed 's/^./\tpid = &/')"
    if [ -e ending ]; then without; [ "$(cat ending)" = bootout ] || echo "$last " >>jobs; rm ending; fi ;;
bootout) known || exit 3; echo bootout >ending ;;
kill) [ -e stubborn ] || echo kill >ending ;;
kickstart) without; echo "$last 2" >>jobs ;;
bootstrap) echo "$2/hallpass.relay 3" >>jobs ;;
esac
"""
WINDOW = "/System/Library/CoreServices/loginwindow.app/Contents/MacOS/loginwindow"
# A long value stands in a line of its own.
DSCL = r"""#!/bin/sh
case "$*" in
"/Search -read /Users/user501 NFSHomeDirectory") printf 'NFSHomeDirectory: /Users/alice\n' ;;
"/Search -read /Users/user502 NFSHomeDirectory") printf 'NFSHomeDirectory:\n /Users/bob of the north\n' ;;
*) echo "<dscl_cmd> DS Error: -14136 (eDSRecordNotFound)" >&2; exit 56 ;;
esac
"""
TOOLS = {"launchctl": LAUNCHCTL, "ps": f"#!/bin/sh\necho '    0 /sbin/launchd'; echo '  501 {WINDOW}'; echo '    0 {WINDOW}'\n",
         "dscl": DSCL, "id": '#!/bin/sh\n[ "$1" != -un ] || { echo "user$2"; exit; }\nexec /usr/bin/id "$@"\n',
         "pkgutil": '#!/bin/sh\necho "pkgutil $*" >>/mac/asked\n', "sleep": "#!/bin/sh\n"}
TOOLS_FIRST = "/mac/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Mac:
    """A root where the scripts of the package find what they look for: the files of the installer, and tools that note what they are asked."""

    def __init__(self, t, *jobs):
        self.system = t.debian()
        self.before = self.system.files()
        self.put("mac/jobs", "".join(f"{job} 1\n" for job in jobs))
        self.put("mac/asked", "")
        for name, text in TOOLS.items():
            self.put(f"mac/bin/{name}", text, 0o755)
        for name in ("preinstall", "postinstall"):
            self.put(f"mac/{name}", (MACOS / "scripts" / name).read_text(), 0o755)
        self.unpack()

    def unpack(self):
        subprocess.run(["cp", "-a", f"{mac()}/.", self.system.root], check=True)

    def put(self, name, text, mode=0o644):
        path = self.system.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def has(self, name):
        return (self.system.root / name).exists()

    def runs(self, *command, check=True):
        """What a script has asked the tools for; those that only look are left out."""
        self.put("mac/asked", "")
        self.system.run("sh", *command, check=check, PATH=TOOLS_FIRST)
        return [line for line in (self.system.root / "mac/asked").read_text().splitlines() if not line.startswith("print ")]

    def jobs(self):
        return sorted((self.system.root / "mac/jobs").read_text().splitlines())

    def files(self):
        """The files, links and directories that hallpass has brought."""
        return sorted(path for path in self.system.files() - self.before if path.split("/")[0] != "mac")


@test("macos: whoever is logged in has the new relay after an upgrade, and a configuration that is there stays")
def agents(t):
    there = Mac(t, "gui/501/hallpass.relay")
    equal(there.runs("/mac/preinstall"), ["bootout gui/501/hallpass.relay"])
    equal(there.jobs(), [], "what runs while files are replaced")
    equal(there.runs("/mac/postinstall"), [f"bootstrap gui/501 /{AGENT}"])
    equal(there.jobs(), ["gui/501/hallpass.relay 3"])
    assert (there.system.root / SUPPORT / "hallpass.toml").read_text() == (there.system.root / SUPPORT / "hallpass.toml.default").read_text()
    # Who has an agent with flags of their own keeps it; of whom the directory knows nothing, the package's is taken.
    there = Mac(t, *(f"gui/{uid}/hallpass.relay" for uid in (501, 502, 503)))
    there.put("mac/bin/ps", f"#!/bin/sh\nfor uid in 501 502 503; do echo \"  $uid {WINDOW}\"; done\n", 0o755)
    for home in ("alice", "bob of the north"):
        there.put(f"Users/{home}/{AGENT}", "with --config\n")
    equal(there.runs("/mac/preinstall"), [f"bootout gui/{uid}/hallpass.relay" for uid in (501, 502, 503)])
    equal(there.runs("/mac/postinstall"),
          [f"bootstrap gui/501 /Users/alice/{AGENT}", f"bootstrap gui/502 /Users/bob of the north/{AGENT}", f"bootstrap gui/503 /{AGENT}"])
    (there.system.root / f"Users/alice/{AGENT}").unlink()
    equal(there.runs("/mac/postinstall")[0], f"bootstrap gui/501 /{AGENT}")
    there.put(f"{SUPPORT}/hallpass.toml", "# ours\n")
    there.runs("/mac/postinstall")
    equal((there.system.root / SUPPORT / "hallpass.toml").read_text(), "# ours\n")


@test("macos: where the machine has a relay, it is the new one after an upgrade, and no agent is beside it")
def daemon(t):
    for stubborn, orders in ((False, ["kill SIGTERM system/hallpass.relay", "kickstart system/hallpass.relay"]),
                             (True, ["kill SIGTERM system/hallpass.relay", "kickstart -k system/hallpass.relay"])):
        there = Mac(t, "system/hallpass.relay")
        there.put(DAEMON, "by an administrator\n")
        if stubborn:
            there.put("mac/stubborn", "")
        there.runs("/mac/preinstall")
        equal(there.jobs(), ["system/hallpass.relay 1"], "what runs while files are replaced")
        equal(there.runs("/mac/postinstall"), orders)
        equal(there.jobs(), ["system/hallpass.relay 2"], "another process")
        equal((there.has(AGENT), there.has(AGENT + ".off"), there.has(DAEMON)), (False, True, True), "agent, agent aside, daemon")
    # One that an administrator has stopped stays so; without a daemon the agent is back.
    there = Mac(t)
    there.put(DAEMON, "by an administrator\n")
    equal(there.runs("/mac/postinstall"), [])
    (there.system.root / DAEMON).unlink()
    there.unpack()
    equal(there.runs("/mac/postinstall"), [f"bootstrap gui/501 /{AGENT}"])
    equal((there.has(AGENT), there.has(AGENT + ".off")), (True, False))


@test("macos: the uninstaller stops what runs and leaves nothing but a configuration, which goes when it is told so")
def uninstaller(t):
    for purge, with_daemon in ((False, False), (True, True), (True, False)):
        jobs = ["system/hallpass.relay"] if with_daemon else ["gui/501/hallpass.relay"]
        there = Mac(t, *jobs)
        if with_daemon:
            there.put(DAEMON, "ours\n")
        there.runs("/mac/postinstall")
        # What the program does on a Mac, it cannot do here.
        there.put("usr/local/bin/hallpass", '#!/bin/sh\necho "hallpass $*" >>/mac/asked\n', 0o755)
        for written in ("var/db/hallpass/state/lockout.json", "var/log/hallpass/hallpass.log", f"{SUPPORT}/corp.toml"):
            there.put(written, "{}\n")
        asked = there.runs("/usr/local/share/hallpass/uninstall", *["--purge"] * purge)
        equal([line for line in asked if line.startswith("hallpass")], ["hallpass service uninstall --system --purge"] * with_daemon, "of the daemon's account")
        assert "pkgutil --forget hallpass.relay" in asked, asked
        equal(there.jobs(), [], "what runs")
        kept = [f"{SUPPORT}/{name}" for name in ("corp.toml", "hallpass.toml")] + ["var/db/hallpass/state/lockout.json"]
        left = [path for path in there.files() if not (there.system.root / path).is_dir()]
        equal(left, [] if purge else kept, "files that are left")
        ours = [path for path in there.files() if (there.system.root / path).is_dir() and "hallpass" in path]
        equal(ours, [] if purge else [SUPPORT, "var/db/hallpass", "var/db/hallpass/state"], "directories that are left")
        equal(there.has("var/log/hallpass"), not purge, "the log")


@test("macos: the uninstaller changes nothing for who is not root or writes something it does not know")
def refused(t):
    there = Mac(t)
    before = there.files()
    uninstall = "/usr/local/share/hallpass/uninstall"
    said = there.system.run("sh", uninstall, "--all", check=False, PATH=TOOLS_FIRST)
    assert "uninstall [--purge]" in said, said
    said = there.system.run("setpriv", "--reuid", "1000", "--clear-groups", "--", "sh", uninstall, check=False, PATH=TOOLS_FIRST)
    assert "this needs sudo" in said, said
    equal(there.files(), before)


@test("macos: files of launchd are property lists, and start the program that the installer puts there")
def plists(t):
    found = sorted(MACOS.rglob("*.plist"))
    equal([path.parent.name for path in found], ["LaunchAgents", "LaunchDaemons"])
    for path in found:
        with path.open("rb") as file:
            said = plistlib.load(file)
        equal(said["Label"], path.stem)
        equal(said["ProgramArguments"][0], "/usr/local/bin/hallpass")


@test("macos: the installer's description is well-formed, and names the package that is in it")
def distribution(t):
    checked("xmllint", "--noout", MACOS / "distribution.xml")
    root = ElementTree.parse(MACOS / "distribution.xml").getroot()
    identifiers = {element.get("id") for element in root.iter("pkg-ref")}
    build = (MACOS / "build").read_text()
    equal(identifiers, {re.search(r"pkgbuild .*--identifier (\S+)", build)[1]})
    equal([element.text for element in root.iter("pkg-ref") if element.text], [re.search(r'"\$work/(\S+\.pkg)"', build)[1]])
    for element in (*root.iter("license"), *root.iter("welcome")):
        assert f"resources/{element.get('file')}" in build or (MACOS / "resources" / element.get("file")).exists(), element.attrib


@test("homebrew: the formula is right for ruby, and a release fills in all of it")
def formula(t):
    checked("ruby", "-c", ROOT / "packaging/homebrew/hallpass.rb")
    run("packaging/release", "formula", "--out", t.directory, env={**os.environ, "HALLPASS_DOWNLOADS": "https://downloads.example/hallpass/releases/download/v1"})
    text = (t.directory / "hallpass.rb").read_text()
    checked("ruby", "-c", t.directory / "hallpass.rb")
    assert not re.search(r"@[A-Z0-9]+@", text), text
    [archive] = t.directory.glob("hallpass-*.tar.gz")
    equal(re.search(r'sha256 "(\w+)"', text)[1], checked("sha256sum", archive).split()[0])
    equal(re.search(r'url "(\S+)"', text)[1], f"https://downloads.example/hallpass/releases/download/v1/{archive.name}")
    equal(re.search(r'homepage "(\S+)"', text)[1], "https://downloads.example/hallpass")


@test("workflows: they are what the schema and the linter of workflows say")
def workflows(t):
    equal([path.name for path in WORKFLOWS], ["ci.yml", "release.yml"])
    rules = "{extends: default, rules: {line-length: {max: 160}, document-start: disable, truthy: {check-keys: false}, comments: {min-spaces-from-content: 1}}}"
    checked("yamllint", "--strict", "--config-data", rules, *WORKFLOWS)
    checked(MADE / "python/bin/check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)
    said = subprocess.run(["node", ROOT / "tests/packages/workflows.mjs", MADE / "npm", *WORKFLOWS], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    lines = said.splitlines()
    equal(lines[-1], "2 workflows", said)
    equal([line for line in lines[:-1] if not any(re.search(pattern, line) for pattern in NEWER)], [], "the linter")


@test("workflows: each job may read and no more, but the one that publishes")
def permissions(t):
    for path in WORKFLOWS:
        text = path.read_text()
        assert "\npermissions:\n  contents: read\n\n" in text, path
        equal(re.findall(r"^ +([a-z-]+): write", text, re.M), [] if path.name == "ci.yml" else ["contents", "id-token", "attestations"], path)
        for used in re.findall(r"uses: (.*)", text):
            # A tag can be moved to other code, a commit cannot.
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used


@test("workflows: no checkout keeps the token, and nothing is handed on that is not there")
def steps(t):
    for path in WORKFLOWS:
        found = re.findall(r"^ +- (?:name: .*\n +)?uses: actions/([a-z-]+)@.*\n((?: {8}.*\n)+)", path.read_text(), re.M)
        equal(sum(name == "checkout" for name, _ in found), path.read_text().count("actions/checkout@"), path)
        for name, more in found:
            assert name != "checkout" or "persist-credentials: false\n" in more, (path, more)
            # Of a run that failed there may be no logs.
            assert name != "upload-artifact" or "if-no-files-found: error\n" in more or "if: failure()\n" in more, (path, more)


@test("workflows: every file that they run is there")
def files(t):
    for path in WORKFLOWS:
        for name in set(re.findall(r"(?:packaging|tests|\.ci)/[\w./-]+", path.read_text())):
            name = name.rstrip(".")
            if not name.startswith("packaging/macos") or "*" not in name:
                assert (ROOT / name).exists(), f"{path.name} runs {name}"
