"""What the checks are written with."""
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from support import facts
from support.facts import ROOT

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


def hallpass():
    found = facts.hallpass("release", "debug")
    assert found.exists(), f"there is no {found}: cargo build"
    return found


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
