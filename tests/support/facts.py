"""Where things are, and how a test finds out that something holds."""
import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")


def hallpass(*profiles):
    """The program under test: what HALLPASS_BIN names, or the first of these profiles of cargo that was built."""
    named = os.environ.get("HALLPASS_BIN")
    places = [Path(named)] if named else [TARGET / profile / "hallpass" for profile in profiles]
    return next((place for place in places if place.exists()), places[-1])


def equal(found, wanted, what=""):
    assert found == wanted, f"{what}: found {found!r}, wanted {wanted!r}"


def waiter(patience, pause=0.05):
    """A function that waits for the first true value of a fact: this many seconds, or as many as it is told."""
    def wait_for(what, fact, seconds=patience):
        end = time.monotonic() + seconds
        while not (value := fact()):
            assert time.monotonic() < end, f"{what}: not within {seconds} s"
            time.sleep(pause)
        return value
    return wait_for


def said(*command, **more):
    """All that a command prints, which has to end well."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout[-3000:]}"
    return done.stdout
