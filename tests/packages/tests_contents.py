"""What is released says truly what is in it: sums, licences, the list of crates, the libraries that are needed, the same bytes again."""
import gzip
import hashlib
import json
import os
import re
import subprocess
import tarfile
import tomllib
import zipfile

from harness import equal, test
from made import MADE, PROGRAM, ROOT, lists, package, released, run, tree

LINUX = "x86_64-unknown-linux-gnu"


def bill(system):
    [found] = lists().glob(f"hallpass-*-{system}.cdx.json")
    return json.loads(found.read_text())


def crates(bom, *scopes):
    return {(c["name"], c["version"]): c for c in bom["components"] if c["purl"].startswith("pkg:cargo/") and c["scope"] in scopes}


def locked():
    return {(p["name"], p["version"]): p for p in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}


@test("release: SHA256SUMS has every file, and is right", whole=True)
def sums(t):
    lines = [line.split("  ") for line in (released() / "SHA256SUMS").read_text().splitlines()]
    equal(sorted(name for _, name in lines), sorted(p.name for p in released().iterdir() if p.name != "SHA256SUMS"), "names")
    for digest, name in lines:
        equal(hashlib.sha256((released() / name).read_bytes()).hexdigest(), digest, name)


@test("release: what cannot be made here ends with a sentence that says what is missing")
def missing(t):
    said = subprocess.run([ROOT / "packaging/release", "formula", "--out", t.directory / "out"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, env={**os.environ, "HALLPASS_DOWNLOADS": ""})
    assert said.returncode and "formula needs HALLPASS_DOWNLOADS" in said.stdout, said.stdout
    unknown = subprocess.run([ROOT / "packaging/release", "dmg"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    equal(unknown.returncode, 2)
    assert "packaging/release [ARTEFACT]" in unknown.stdout, unknown.stdout


@test("sbom: it lists every crate that is compiled for the program, as the compiler's own messages tell")
def every_crate(t):
    # Not how the list is made: this is what cargo really built. With a warm target directory nothing is compiled.
    said = subprocess.run(["cargo", "build", "--locked", "--bins", "--message-format=json", "--quiet"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "CARGO_PROFILE_DEV_DEBUG": os.environ.get("CARGO_PROFILE_DEV_DEBUG", "0")})
    built = set()
    for line in said.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] == "compiler-artifact":
            name, version = re.search(r"([^/#@]+)[#@]([^#@]*)$", message["package_id"]).groups()
            built.add((name, version))
    built = {key for key in built if key[0] != "hallpass"}
    assert len(built) > 200, len(built)
    listed = set(crates(bill("linux"), "required", "excluded"))
    equal(sorted(built - listed), [], "compiled and not listed")
    # Both processors of Linux share a list, and no crate is for one of them alone but those of processor features.
    assert len(listed - built) <= 3, sorted(listed - built)


@test("sbom: checksums are those of Cargo.lock, and every crate of Cargo.lock is in a list or only for tests")
def locks(t):
    everything = {}
    for system in ("linux", "windows", "macos"):
        everything |= crates(bill(system), "required", "excluded")
    lock = locked()
    for key, component in everything.items():
        equal(component["hashes"], [{"alg": "SHA-256", "content": lock[key]["checksum"]}], component["purl"])
        assert component["licenses"][0]["expression"] not in ("", "NOASSERTION"), component["purl"]
    # What no system's program is made of is for tests, benches, or processors and systems that nothing is released for.
    left = {key for key in lock if key not in everything and key[0] != "hallpass"}
    tree_of_all = subprocess.run(["cargo", "tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--target", LINUX],
                                 cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    in_program = {tuple(line.replace(" v", " ").split()[:2]) for line in tree_of_all.splitlines()}
    equal(sorted(left & in_program), [], "crates of the program that no list has")


@test("sbom: it is what the schema of CycloneDX says")
def schema(t):
    python = MADE / "python/bin/python"
    assert python.exists(), "its validator could not be installed: tests/packages/install tells why"
    check = ("import sys; from cyclonedx.schema import SchemaVersion; from cyclonedx.validation.json import JsonStrictValidator\n"
             "for name in sys.argv[1:]:\n    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(name).read())\n"
             "    assert error is None, f'{name}: {error}'")
    files = sorted(lists().glob("*.cdx.json"))
    equal(len(files), 3)
    subprocess.run([python, "-c", check, *files], check=True)
    # A list with a mistake must not pass.
    broken = json.loads(files[0].read_text())
    broken["components"][0]["type"] = "crate"
    (t.directory / "broken.json").write_text(json.dumps(broken))
    assert subprocess.run([python, "-c", check, t.directory / "broken.json"], stderr=subprocess.DEVNULL).returncode


@test("licences: each crate of the program is named with licences that deny.toml allows, above texts of them")
def texts(t):
    allowed = set(tomllib.loads((ROOT / "deny.toml").read_text())["licenses"]["allow"]) | {"MPL-2.0"}
    for system in ("linux", "windows", "macos"):
        [found] = lists().glob(f"hallpass-*-{system}.licences.txt")
        head, *blocks = found.read_text().split("=" * 100 + "\n")
        named = dict(re.findall(r"^(\S+ \S+): (.*)$", head, re.M))
        below = {name for block in blocks for name in block.split("-" * 100)[0].strip().splitlines()}
        for name, version in crates(bill(system), "required"):
            assert set(named[f"{name} {version}"].split(" AND ")) <= allowed, (name, named[f"{name} {version}"])
            assert f"{name} {version}" in below, f"{system}: no text for {name}"
        assert min(len(block) for block in blocks) > 500, "a text is missing"
        assert "public_suffixes.txt of hallpass's sources: MPL-2.0\n" in head and "Mozilla's list of public suffixes" in below, system


@test("licences: the packages carry them")
def carried(t):
    shipped = gzip.decompress((tree("1.0.0") / "usr/share/doc/hallpass/licences.txt.gz").read_bytes()).decode()
    assert "Fabrice Bellard" in shipped and "rustls" in shipped and "Mozilla Public License" in shipped
    names = subprocess.run(["dpkg-deb", "--contents", package("deb", "1.0.0")], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert "/usr/share/doc/hallpass/licences.txt.gz" in names and "/usr/share/doc/hallpass/copyright" in names
    # The programs for Windows come from elsewhere; what lies beside them is made here.
    for name in ("hallpass.exe", "hallpassw.exe"):
        (t.directory / name).write_bytes(b"MZ")
    run("packaging/windows/build", "--version", "1.0.0", "--out", t.directory, "--exe-dir", t.directory, "--only", "zip")
    with zipfile.ZipFile(t.directory / "hallpass-1.0.0-windows-x64.zip") as archive:
        beside = archive.read("hallpass-1.0.0/licences.txt").decode()
    assert "Fabrice Bellard" in beside and "\nwindows-sys " in beside, beside[:1000]


@test("tarball: it has the whole tree, owned by root", whole=True)
def tarball(t):
    [made] = released().glob("hallpass-*-linux.tar.gz")
    with tarfile.open(made) as archive:
        members = archive.getmembers()
    top = {member.name.split("/")[0] for member in members}
    equal(len(top), 1, "directories at the top")
    equal({(member.uid, member.gid) for member in members}, {(0, 0)}, "owners")
    staged = tree("1.0.0")
    wanted = {str(path.relative_to(staged)) for path in staged.rglob("*") if path.is_file()}
    equal({member.name.partition("/")[2] for member in members if member.isfile()}, wanted)


@test("release: the same program is packed to the same bytes in another directory, at another time, under another umask", whole=True)
def again(t):
    out = t.directory / "a much longer name than before"
    os.utime(PROGRAM)
    os.utime(ROOT / "packaging/deb/debian/hallpass.lintian-overrides", (1_000_000_000, 1_000_000_000))
    run("packaging/release", "deb", "rpm", "tar", "--binary", PROGRAM, "--out", out, umask=0o077, env={**os.environ, "TZ": "Asia/Kathmandu", "LANG": "C"})
    for made in sorted(out.iterdir()):
        if made.name != "SHA256SUMS":
            assert made.read_bytes() == (released() / made.name).read_bytes(), f"{made.name} differs"
    equal(len(list(out.iterdir())), 4)


@test("program: it needs libc and the Kerberos library, and of libc nothing newer than 2.34", release=True)
def libraries(t):
    dynamic = subprocess.run(["objdump", "-p", PROGRAM], check=True, stdout=subprocess.PIPE, text=True).stdout
    needed = set(re.findall(r"NEEDED\s+(\S+)", dynamic))
    equal(needed - {"libc.so.6", "libm.so.6", "libgssapi_krb5.so.2"} - {name for name in needed if name.startswith("ld-linux")}, set())
    versions = {tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_([\d.]+)", dynamic)}
    assert max(versions) <= (2, 34), max(versions)
    depends = subprocess.run(["dpkg-deb", "--field", package("deb", "1.0.0"), "Depends"], check=True, stdout=subprocess.PIPE, text=True).stdout
    equal({part.split()[0] for part in depends.split(", ")} - {"init-system-helpers", "systemd"}, {"libc6", "libgssapi-krb5-2"}, depends)


@test("program: it names no directory of the machine that it was compiled on", release=True)
def paths(t):
    program = PROGRAM.read_bytes()
    cargo = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
    toolchain = subprocess.run(["rustc", "--print", "sysroot"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    for path in (f"{ROOT}/", f"{cargo}/", toolchain, "/registry/src/", ".rustup", "/target/reproduce"):
        assert str(path).encode() not in program, path
    assert b"/crates/tokio-" in program   # the places that it does name
