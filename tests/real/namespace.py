"""One network namespace: what runs in it, and sockets of this process that belong to it."""
import socket
import subprocess
from pathlib import Path

from harness import wait_for
from support import network
from support.facts import said


class Place:
    """A network namespace, held by a process that sleeps."""

    def __init__(self, *unshare):
        self.holder = subprocess.Popen(["unshare", "--net", *unshare, "sleep", "infinity"])
        comm = Path(f"/proc/{self.holder.pid}/comm")
        wait_for("the namespace", lambda: comm.read_text() == "sleep\n")
        self.ip("link set lo up")

    @property
    def pid(self):
        return self.holder.pid

    def inside(self):
        """Sockets made and threads started in here belong to the place."""
        return network.inside(self.pid)

    def command(self, *command):
        return ["nsenter", f"--target={self.pid}", "--net", *map(str, command)]

    def run(self, *command, **more):
        return said(*self.command(*command), **more)

    def ip(self, *lines):
        self.run("ip", "-batch", "-", input="\n".join(lines) + "\n")

    def connect(self, host, port, seconds=10):
        with self.inside():
            return socket.create_connection((host, port), timeout=seconds)

    def accepts(self, host, port):
        with self.inside():
            return network.accepts(host, port)

    def forwards(self, on):
        self.run("sysctl", "-qw", f"net.ipv4.ip_forward={int(on)}")

    def close(self):
        self.holder.kill()
        self.holder.wait()
