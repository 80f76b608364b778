"""What the checks are written with."""
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
KUBERNETES = ROOT / "packaging" / "kubernetes"
OVERLAYS = {"example": ("password", "token"), "keytab": ("keytab", "token")}
CHECKS = []


@dataclass
class Check:
    sentence: str
    run: object


def check(sentence):
    """Registers one. What it returns is a note for whoever reads the result."""
    def register(function):
        CHECKS.append(Check(sentence, function))
        return function
    return register


def equal(found, wanted, what=""):
    assert found == wanted, f"{what}: found {found!r}, wanted {wanted!r}"


def hallpass():
    named = os.environ.get("HALLPASS_BIN")
    found = [Path(named)] if named else [ROOT / "target" / profile / "hallpass" for profile in ("release", "debug")]
    there = [path for path in found if path.exists()]
    assert there, f"there is no {found[-1]}: cargo build"
    return there[0]


class Copy:
    """The manifests as an operator has them: a copy with secrets beside the overlays."""

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="hallpass-kubernetes-"))
        self.root = self.directory / "kubernetes"
        shutil.copytree(KUBERNETES, self.root, ignore=shutil.ignore_patterns("secret"))
        for overlay, names in OVERLAYS.items():
            for name in names:
                self.put(overlay, name, f"the {name}\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.directory)

    def put(self, overlay, name, text):
        directory = self.root / "overlays" / overlay / "secret"
        directory.mkdir(exist_ok=True)
        (directory / name).write_text(text)

    def overlay(self, name):
        return self.root / "overlays" / name

    def build(self, where):
        """The objects that kubectl would apply, as text."""
        done = subprocess.run(["kubectl", "kustomize", str(where)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout
