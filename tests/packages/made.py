"""What is tested: the program, the packages that are made of it, and the variants that upgrades need. Each is made once."""
import functools
import os
import shutil
import subprocess
from pathlib import Path

from support.facts import ROOT, TARGET, said

MADE = TARGET / "packages"
PROGRAM = MADE / "hallpass"
RELEASED = MADE / "released"
LISTS = MADE / "lists"


def program(binary, release):
    """Puts the program under test, without symbols, where the tests find it."""
    if release and not binary:
        said = subprocess.run([ROOT / "packaging/build"], check=True, stdout=subprocess.PIPE, text=True).stdout
        binary = Path(said.splitlines()[-1]) / "hallpass"
    elif not binary:
        binary = TARGET / "debug" / "hallpass"
    for old in (RELEASED, LISTS, *MADE.glob("tree-*"), *MADE.glob("deb-*"), *MADE.glob("rpm-*")):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copy(binary, PROGRAM)
    if not release:
        subprocess.run(["strip", PROGRAM], check=True)


@functools.cache
def released():
    """The directory that packaging/release fills."""
    run("packaging/release", "deb", "rpm", "tar", "source", "--binary", PROGRAM, "--out", RELEASED)
    return RELEASED


@functools.cache
def lists():
    """The lists of crates and licences of all systems."""
    run("packaging/release", "sbom", "licences", "--out", LISTS)
    return LISTS


@functools.cache
def tree(version):
    """What packages of this version hold. The second version's configuration has a line more than the first's."""
    made = MADE / f"tree-{version}"
    run("packaging/linux/stage", made, "--binary", PROGRAM)
    if version != "1.0.0":
        with (made / "etc/hallpass/hallpass.toml").open("a") as file:
            file.write(f"\n# {version} has something new.\n")
    return made


@functools.cache
def mac():
    """What the installer for macOS puts there."""
    made = MADE / "tree-macos"
    run("packaging/macos/build", "--lay-out", made, "--binary", PROGRAM)
    return made


@functools.cache
def package(kind, version):
    """A deb or rpm of this version."""
    out = MADE / f"{kind}-{version}"
    out.mkdir()
    # These are made to be installed once; how small they are does not matter.
    quick = {**os.environ, "DPKG_DEB_COMPRESSOR_LEVEL": "0", "RPM_PAYLOAD": "w1.zstdio"}
    run(f"packaging/{kind}/build", "--stage", tree(version), "--version", version, "--out", out, env=quick)
    [made] = out.iterdir()
    return made


def run(command, *arguments, **more):
    return said(ROOT / command, *arguments, **more)
