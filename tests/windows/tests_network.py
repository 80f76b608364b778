"""Changes of network, in a network of its own."""
import shutil
import subprocess
import time
from pathlib import Path

from windows_run import ENVIRONMENT, EXE, PREFIX, WINE, equal, test, wait_for

SERVER = "/usr/lib/wine/wineserver64"


class Laptop:
    """A relay under Wine in a network namespace, with a prefix of its own: it is Wine's server that has the sockets."""

    def __init__(self, directory):
        self.prefix = directory.parent.parent / "prefix-laptop"
        shutil.rmtree(self.prefix, ignore_errors=True)
        # The registry is written anew by each server; the rest of a prefix is only read.
        subprocess.run(["cp", "-a", "--link", PREFIX, self.prefix], check=True)
        for hive in self.prefix.glob("*.reg"):
            text = hive.read_bytes()
            hive.unlink()
            hive.write_bytes(text)
        self.environment = {**ENVIRONMENT, "WINEPREFIX": str(self.prefix)}
        self.log = directory / "relay.log"
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        # Before that it is still in the machine's network.
        wait_for("the namespace", lambda: Path(f"/proc/{self.holder.pid}/comm").read_text() == "sleep\n")
        self.run("ip", "link", "set", "lo", "up")
        with self.log.open("wb") as out:
            self.relay = subprocess.Popen([*self.inside, WINE, EXE, "serve", "--no-config", "--listen", "127.0.0.1:0", "--log", "debug"],
                                          env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    @property
    def inside(self):
        return ["nsenter", f"--target={self.holder.pid}", "--net"]

    def run(self, *command):
        return subprocess.run([*self.inside, *command], env=self.environment, check=True, capture_output=True, text=True).stdout

    def said(self):
        assert self.relay.poll() is None, self.log.read_text()
        return self.log.read_text()

    def end(self):
        subprocess.run([*self.inside, SERVER, "-k"], env=self.environment, check=False)
        self.relay.wait(20)
        self.holder.kill()
        self.holder.wait()
        shutil.rmtree(self.prefix, ignore_errors=True)


@test("a cable that is plugged in and pulled is a change of network, with its addresses and gateway", fixture=Laptop)
def cable(laptop):
    wait_for("the first look", lambda: "profile none" in laptop.said(), 60)
    changes = lambda: [line for line in laptop.said().splitlines() if "the network changed before=" in line]
    laptop.run("ip", "link", "add", "cable", "type", "veth", "peer", "name", "wall")
    laptop.run("ip", "address", "add", "198.51.100.77/24", "dev", "cable")
    for end in ("wall", "cable"):
        laptop.run("ip", "link", "set", end, "up")
    laptop.run("ip", "route", "add", "default", "via", "198.51.100.1")
    plugged = time.monotonic()
    # Wine takes the registrations for notifications and never notifies, so the change is found by looking.
    seen = lambda: [line for line in changes() if "addresses: [198.51.100.77/24]" in line.partition(" now=")[2]
                    and "gateways: [198.51.100.1]" in line.partition(" now=")[2]]
    wait_for("the cable is seen", seen, 60)
    print(f"      seen after {time.monotonic() - plugged:.1f} s")
    laptop.run("ip", "link", "delete", "cable")
    wait_for("the cable is pulled", lambda: "198.51.100.77" not in changes()[-1].partition(" now=")[2], 60)
    equal(laptop.said().count("it is looked at every few seconds"), 0, "registrations that were refused")
