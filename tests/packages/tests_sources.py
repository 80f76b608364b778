"""What is made on other systems, or by somebody else's machines: as far as its sources can be judged here."""
import os
import plistlib
import re
import subprocess
import xml.etree.ElementTree as ElementTree

from harness import equal, test
from made import MADE, PROGRAM, ROOT, run

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
    run("packaging/macos/build", "--lay-out", t.directory / "mac", "--binary", PROGRAM)
    files = {str(path.relative_to(t.directory / "mac")) for path in (t.directory / "mac").rglob("*") if path.is_file()}
    wanted = {"usr/local/bin/hallpass", "usr/local/share/man/man1/hallpass.1", "usr/local/share/zsh/site-functions/_hallpass",
              "Library/LaunchAgents/hallpass.relay.plist", "Library/Application Support/hallpass/hallpass.toml.default",
              "usr/local/share/hallpass/hallpass.relay.plist", "usr/local/share/hallpass/uninstall", "usr/local/share/doc/hallpass/licences.txt"}
    equal(sorted(wanted - files), [], "what is missing")
    # What is removed by name has to be all that was installed.
    uninstall = (MACOS / "uninstall").read_text()
    removed = re.findall(r"(?<=[ \t])/(?:usr/local|Library)/[^ ;\n]*", uninstall) + ["/Library/Application Support/hallpass/hallpass.toml.default"]
    left = [path for path in sorted(files) if not any(re.match(re.escape(name).replace(r"\*", "[^/]*") + "(/|$)", f"/{path}") for name in removed)]
    equal(left, [], "what the uninstaller leaves")


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
