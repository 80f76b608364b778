"""A clean Debian for each test: an overlay that can be booted, a target on its loopback, and eyes on its files."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from made import MADE
from support import network
from support.facts import equal, waiter

TESTS = []
# What every package manager and every boot writes, with or without hallpass.
OTHERS = ["proc", "sys", "dev", "run", "tmp", "home", "var/cache/apt", "var/cache/debconf", "var/cache/ldconfig", "var/cache/man",
          "var/lib/apt", "var/lib/dpkg", "var/lib/rpm", "var/lib/systemd", "var/log", "var/tmp", "root/.rpmdb", "etc/machine-id", "etc/.pwd.lock"]


@dataclass
class Case:
    sentence: str
    run: object
    release: bool
    whole: bool


def test(sentence, release=False, whole=False):
    """Registers a test. `release`: it holds only for a program that packaging/build made. `whole`: it needs everything that is
    released, packed as small as it is given away, which takes a while."""
    return lambda function: TESTS.append(Case(sentence, function, release, whole))


wait_for = waiter(30)


class Room:
    """What one test has to itself; all of it is gone afterwards."""
    count = 0

    def __enter__(self):
        Room.count += 1
        self.directory = MADE / "rooms" / str(Room.count)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.systems = []
        return self

    def __exit__(self, *_):
        for system in self.systems:
            system.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def debian(self, boot=False):
        system = System(self.directory / f"debian{len(self.systems)}")
        self.systems.append(system)
        if boot:
            system.boot()
        return system


class System:
    """A Debian of its own, with a network that is its loopback alone."""

    def __init__(self, directory):
        self.root, self.leader, self.container = directory / "root", None, None
        upper, work = directory / "upper", directory / "work"
        for part in (self.root, upper, work):
            part.mkdir(parents=True)
        mount = f"lowerdir={MADE / 'root'},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", mount, self.root], check=True)
        self.log = directory / "console"

    def boot(self):
        # systemd's own log is read when something does not come up.
        with self.log.open("wb") as log:
            self.container = subprocess.Popen(
                ["systemd-nspawn", "--quiet", f"--directory={self.root}", "--boot", "--private-network", "--register=no", "--keep-unit",
                 "--link-journal=no", "--machine=hallpass-test"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        children = Path(f"/proc/{self.container.pid}/task/{self.container.pid}/children")
        self.leader = int(wait_for("the container's first process", lambda: children.read_text().split())[0])
        wait_for("the boot", self.is_up, 120)

    def is_up(self):
        # "degraded" is up: a container has no hardware to be content with.
        return self.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")

    def close(self):
        if self.container:
            # SIGRTMIN+4 is systemd's order to power off.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.leader, signal.SIGRTMIN + 4)
            try:
                self.container.wait(60)
            except subprocess.TimeoutExpired:
                self.container.kill()
                self.container.wait()
        subprocess.run(["umount", "--lazy", self.root], check=False)

    def run(self, *command, check=True, **environment):
        """What a command in there says."""
        if self.leader:
            into = ["nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
        else:
            into = ["unshare", "--net", "--pid", "--fork", "--kill-child", "chroot", self.root]
        clean = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
                 "DEBIAN_FRONTEND": "noninteractive", **environment}
        done = subprocess.run([*into, *map(str, command)], env=clean, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=180)
        assert not check or done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout[-3000:]}"
        return done.stdout

    def install_deb(self, package):
        """By apt, which has no network and no lists: what is missing would end it."""
        shutil.copy(package, self.root / "root" / package.name)
        return self.run("apt-get", "install", "--yes", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold",
                        f"/root/{package.name}")

    def files(self):
        """Everything but what package managers and systemd write for themselves."""
        found = set()
        for directory, directories, names in os.walk(self.root):
            inner = Path(directory).relative_to(self.root)
            directories[:] = [name for name in directories if str(inner / name) not in OTHERS]
            found.update(str(inner / name) for name in (*directories, *names) if str(inner / name) not in OTHERS)
        return {path for path in found if not path.startswith("root/hallpass")}   # the package that was put there to be installed

    # ---- the network in there

    def inside(self):
        """Sockets made in here belong to the system."""
        return network.inside(self.leader)

    def target(self):
        """A server on the loopback that sends back what it gets, once."""
        with self.inside():
            listener = socket.create_server(("127.0.0.1", 0))

        def echo():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(connection.recv(100))
        threading.Thread(target=echo, daemon=True).start()
        return listener.getsockname()[1]

    def answers(self, port):
        """Whether a tunnel through the relay on this port carries bytes there and back."""
        target = self.target()
        with self.inside():
            relay = socket.create_connection(("127.0.0.1", port), timeout=20)
        with relay:
            relay.settimeout(20)
            network.tunnel(relay, "127.0.0.1", target)
            relay.sendall(b"through the relay")
            equal(relay.recv(100), b"through the relay")

    def listens(self, port):
        with self.inside():
            return network.accepts("127.0.0.1", port)
