"""One network namespace: what runs in it, and sockets of this process that belong to it."""
import contextlib
import ctypes
import os
import socket
import subprocess
from pathlib import Path

from harness import wait_for

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def enter(fd):
    if LIBC.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Place:
    """A network namespace, held by a process that sleeps."""

    def __init__(self, *unshare):
        self.holder = subprocess.Popen(["unshare", "--net", *unshare, "sleep", "infinity"])
        comm = Path(f"/proc/{self.holder.pid}/comm")
        wait_for("the namespace", lambda: comm.read_text() == "sleep\n")
        self.net = os.open(f"/proc/{self.holder.pid}/ns/net", os.O_RDONLY)
        self.ip("link set lo up")

    @property
    def pid(self):
        return self.holder.pid

    @contextlib.contextmanager
    def inside(self):
        """Sockets made and threads started in here belong to the place."""
        outer = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        enter(self.net)
        try:
            yield
        finally:
            enter(outer)
            os.close(outer)

    def command(self, *command):
        return ["nsenter", f"--target={self.pid}", "--net", *map(str, command)]

    def run(self, *command, **more):
        done = subprocess.run(self.command(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
        assert done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout

    def ip(self, *lines):
        self.run("ip", "-batch", "-", input="\n".join(lines) + "\n")

    def connect(self, host, port, seconds=10):
        with self.inside():
            return socket.create_connection((host, port), timeout=seconds)

    def accepts(self, host, port):
        with self.inside(), socket.socket() as probe:
            return probe.connect_ex((host, port)) == 0

    def forwards(self, on):
        self.run("sysctl", "-qw", f"net.ipv4.ip_forward={int(on)}")

    def close(self):
        os.close(self.net)
        self.holder.kill()
        self.holder.wait()
