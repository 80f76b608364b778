"""A machine of its own for one test: Debian with a real systemd, in a container that only has loopback and whose changes end with it.

What it is made of is target/real/machine, by `tests/real/install machine`; nothing is ever written there.
"""
import os
import signal
import subprocess
from pathlib import Path

from harness import HALLPASS, ROOT, wait_for
from layout import RUN

TREE = ROOT / "target" / "real" / "machine"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAM = "/usr/local/bin/hallpass"


def stage():
    """What all tests of this process share; its mount and process namespaces are its own."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "machine", "/run"], check=True)
    (RUN / "tests").mkdir(parents=True)


class Machine:
    def __init__(self, test):
        self.console = (test.dir / "console").open("w+")
        # The container's systemd must find control groups as this system has them.
        unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
        self.nspawn = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--directory", TREE, "--volatile=overlay", "--private-network", "--boot", "--register=no",
             "--keep-unit", "--console=pipe", "--machine=hallpass-test", f"--bind-ro={HALLPASS}:/opt/hallpass",
             f"systemd.unified_cgroup_hierarchy={int(unified)}"],
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": str(int(unified))},
            stdin=subprocess.DEVNULL, stdout=self.console, stderr=self.console)
        try:
            self.init = wait_for("the container's first process", self.find_init, 30)
            wait_for("the machine to be up", lambda: self.say("systemctl is-system-running", check=False) == "running", 60)
        except AssertionError as error:
            self.console.seek(0)
            raise AssertionError(f"{error}; the console says:\n{self.console.read()[-2000:]}") from None
        self.say(f"install -m 755 /opt/hallpass {PROGRAM}; useradd -m alice; useradd -m bob; echo 127.0.0.1 localhost >> /etc/hosts")

    def find_init(self):
        assert self.nspawn.poll() is None, "the container has ended"
        for task in Path(f"/proc/{self.nspawn.pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    return int(child)
        return None

    def close(self):
        if self.nspawn.poll() is None:
            os.kill(self.init, signal.SIGKILL)   # and with it everything in there
            try:
                self.nspawn.wait(5)
            except subprocess.TimeoutExpired:
                self.nspawn.kill()   # nothing is left for it to do
                self.nspawn.wait(5)
        self.console.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def command(self, *command, user=None):
        become = ["runuser", "-u", user, "--"] if user else []
        home = f"/home/{user}" if user else "/root"
        return ["nsenter", "-t", str(self.init), "-m", "-u", "-i", "-n", "-p", "-C", "env", "-i", "--chdir=/", f"PATH={PATH}", f"HOME={home}",
                "LANG=C.UTF-8", *become, *command]

    def run(self, *command, user=None, seconds=60):
        """Exit code and all that was printed."""
        done = subprocess.run(self.command(*command, user=user), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=seconds)
        return done.returncode, done.stdout.strip()

    def say(self, script, user=None, check=True, seconds=60):
        """What a shell in there prints."""
        code, text = self.run("bash", "-c", script, user=user, seconds=seconds)
        assert not check or code == 0, f"{script} ended with {code}: {text}\n{self.journal()}"
        return text

    def journal(self):
        return self.run("journalctl", "--no-pager", "-o", "cat", "-n", "15")[1]

    def write(self, path, text, mode=0o644):
        script = 'mkdir -p "$(dirname "$1")" && cat > "$1" && chmod "$2" "$1"'
        subprocess.run(self.command("bash", "-c", script, "bash", path, f"{mode:o}"), input=text, text=True, check=True)

    def server(self, script, *arguments):
        """A Python program of ours on the machine's network."""
        return subprocess.Popen(["nsenter", "-t", str(self.init), "-n", "python3", "-c", script, *map(str, arguments)])

    def show(self, name, what="hallpass.service"):
        return self.say(f"systemctl show -P {name} {what}")
