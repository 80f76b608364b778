"""The deb on a clean Debian: installed, used in a session and as a service of the system, upgraded, removed, purged."""
import re
import subprocess
import time

from harness import equal, test, wait_for
from made import package, released

CONFIGURATION = "etc/hallpass/hallpass.toml"
# A file of the machine's configuration that differs from the one that is delivered.
CHANGED = 'listen = ["127.0.0.1:3130"]\n\n[access]\nusers = ["root", "alice"]\n'


def alices_session(system, configuration=None):
    """A manager of her own units, as at a login."""
    if configuration:
        directory = system.root / "home/alice/.config/hallpass"
        directory.mkdir(parents=True)
        (directory / "hallpass.toml").write_text(configuration)
        system.run("chown", "-R", "alice:alice", "/home/alice")
    system.run("loginctl", "enable-linger", "alice")
    wait_for("her session", lambda: alice(system, "is-system-running", check=False).strip() in ("running", "degraded"))


def alice(system, *command, check=True):
    return system.run("systemctl", "--user", "--machine=alice@.host", *command, check=check)


def main_pid(text):
    return int(re.search(r"^MainPID=(\d+)$", text, re.M)[1])


def state(system, unit, *of):
    return system.run("systemctl", *of, "is-active", unit, check=False).strip()


@test("deb: apt installs it without a network, and everything is where it belongs")
def installed(t):
    system = t.debian()
    system.install_deb(package("deb", "1.0.0"))
    equal(system.run("dpkg", "--verify", "hallpass"), "", "files that are not as they were packed")
    assert system.run("hallpass", "--version").startswith("hallpass ")
    system.run("hallpass", "config", "check")
    for page in ("hallpass", "hallpass-config-init"):
        assert "hallpass" in system.run("man", "--where", page)
    for path in ("usr/share/bash-completion/completions/hallpass", "usr/share/zsh/vendor-completions/_hallpass",
                 "usr/share/fish/vendor_completions.d/hallpass.fish", "usr/share/doc/hallpass/copyright", CONFIGURATION):
        assert (system.root / path).stat().st_size > 500, path
    system.run("bash", "-n", "/usr/share/bash-completion/completions/hallpass")
    # All of it is a comment: what is delivered decides nothing.
    settings = [line for line in (system.root / CONFIGURATION).read_text().splitlines() if line and not line.startswith("#")]
    equal([line for line in settings if not line.startswith("[")], [], "keys that the delivered configuration sets")


@test("deb: sessions have the relay by themselves, the system has one when it is enabled")
def enabled(t):
    system = t.debian()
    system.install_deb(package("deb", "1.0.0"))
    equal(system.run("systemctl", "--global", "is-enabled", "hallpass.service", check=False).strip(), "enabled", "of sessions")
    for unit in ("hallpass.service", "hallpass.socket"):
        equal(system.run("systemctl", "is-enabled", unit, check=False).strip(), "disabled", f"{unit} of the system")
    # The second person at a machine would not get the ports of a socket that every session has.
    equal(system.run("systemctl", "--global", "is-enabled", "hallpass.socket", check=False).strip(), "disabled", "the socket of sessions")
    assert "hallpass:" in (system.root / "etc/passwd").read_text()


@test("deb: it answers in a session, and as a service of the system once that is told whom it serves")
def answers(t):
    system = t.debian(boot=True)
    system.install_deb(package("deb", "1.0.0"))
    equal(state(system, "hallpass.service"), "inactive", "the service of the system after the installation")
    alices_session(system)
    wait_for("the relay of her session", lambda: system.listens(3128))
    system.answers(3128)
    equal(alice(system, "is-active", "hallpass.service").strip(), "active", "the unit of her session")

    (system.root / CONFIGURATION).write_text(CHANGED)
    system.run("systemctl", "enable", "--now", "hallpass.service")
    equal(state(system, "hallpass.service"), "active", "the service of the system")
    system.answers(3130)


@test("deb: an upgrade keeps a changed configuration and restarts the relay of the system")
def upgraded(t):
    system = t.debian(boot=True)
    system.install_deb(package("deb", "1.0.0"))
    (system.root / CONFIGURATION).write_text(CHANGED)
    system.run("systemctl", "enable", "--now", "hallpass.service")
    before = main_pid(system.run("systemctl", "show", "hallpass.service"))
    system.install_deb(package("deb", "2.0.0"))
    equal((system.root / CONFIGURATION).read_text(), CHANGED, "the configuration")
    after = main_pid(system.run("systemctl", "show", "hallpass.service"))
    assert before != after and after, f"{before} is {after} after the upgrade"
    system.answers(3130)


@test("deb: an upgrade restarts the relays of sessions, and no other")
def restarted(t):
    system = t.debian(boot=True)
    system.install_deb(package("deb", "1.0.0"))
    alices_session(system, 'listen = ["127.0.0.1:3129"]\n')
    wait_for("the relay of her session", lambda: system.listens(3129))
    before = main_pid(alice(system, "show", "hallpass.service"))
    system.install_deb(package("deb", "2.0.0"))
    # The upgrade does not wait for it.
    wait_for("another process", lambda: main_pid(alice(system, "show", "hallpass.service")) not in (before, 0))
    wait_for("the new relay", lambda: system.listens(3129))
    system.answers(3129)
    equal(state(system, "hallpass.service"), "inactive", "the service of the system")

    alice(system, "stop", "hallpass.service")
    system.run("dpkg", "--install", "/root/" + package("deb", "1.0.0").name)
    equal(alice(system, "is-active", "hallpass.service", check=False).strip(), "inactive", "what she had stopped")


@test("deb: a session that hangs keeps neither an upgrade nor other sessions waiting for long")
def hanging(t):
    system = t.debian(boot=True)
    # Asked before alice's.
    system.run("usermod", "--uid", "2000", "alice")
    system.run("useradd", "--create-home", "--uid", "1500", "bob")
    system.install_deb(package("deb", "1.0.0"))
    alices_session(system, 'listen = ["127.0.0.1:3129"]\n')
    wait_for("the relay of her session", lambda: system.listens(3129))
    before = main_pid(alice(system, "show", "hallpass.service"))
    system.run("loginctl", "enable-linger", "bob")
    wait_for("his session", lambda: state(system, "user@1500.service") == "active")
    units = system.run("systemctl", "list-units", "--no-legend", "--plain", "user@*.service").split()
    assert units.index("user@1500.service") < units.index("user@2000.service"), units
    system.run("systemctl", "kill", "--kill-who=main", "--signal=STOP", "user@1500.service")
    try:
        begun = time.monotonic()
        system.install_deb(package("deb", "2.0.0"))
        took = time.monotonic() - begun
        # What a question to him takes until it is given up, five times.
        assert took < 50, f"the upgrade took {took:.0f} s"
        wait_for("another process", lambda: main_pid(alice(system, "show", "hallpass.service")) not in (before, 0))
    finally:
        system.run("systemctl", "kill", "--kill-who=main", "--signal=CONT", "user@1500.service")


@test("deb: an upgrade brings a new configuration where nobody changed the old one")
def unchanged(t):
    system = t.debian()
    system.install_deb(package("deb", "1.0.0"))
    system.install_deb(package("deb", "2.0.0"))
    assert "2.0.0 has something new" in (system.root / CONFIGURATION).read_text()


@test("deb: an upgrade does not enable again what was disabled")
def disabled(t):
    system = t.debian()
    system.install_deb(package("deb", "1.0.0"))
    for unit in ("hallpass.service", "hallpass.socket"):
        system.run("systemctl", "--global", "disable", unit, check=False)
    system.install_deb(package("deb", "2.0.0"))
    equal(system.run("systemctl", "--global", "is-enabled", "hallpass.service", check=False).strip(), "disabled", "of sessions")


@test("deb: removed, it has stopped and keeps its configuration; purged, it has left no file")
def purged(t):
    system = t.debian(boot=True)
    before = system.files()
    system.install_deb(package("deb", "1.0.0"))
    # A session that began before the system had a relay goes on with its own.
    alices_session(system, 'listen = ["127.0.0.1:3129"]\n')
    wait_for("the relay of her session", lambda: system.listens(3129))
    (system.root / CONFIGURATION).write_text(CHANGED)
    system.run("systemctl", "enable", "--now", "hallpass.service")
    system.answers(3130)
    system.answers(3129)
    # What is written while it runs, and what administrators lay down beside it.
    for path in ("var/lib/private/hallpass/lockout.json", "etc/hallpass/proxy.cred", "etc/hallpass/policy.toml"):
        (system.root / path).parent.mkdir(parents=True, exist_ok=True)
        (system.root / path).write_text("{}\n")

    system.run("apt-get", "remove", "--yes", "hallpass")
    wait_for("the end of both relays", lambda: not system.listens(3130) and not system.listens(3129))
    equal((system.root / CONFIGURATION).read_text(), CHANGED, "the configuration")
    assert not (system.root / "usr/bin/hallpass").exists()

    system.run("apt-get", "purge", "--yes", "hallpass")
    # systemd makes the directory of state for services that run without an account of their own, for all of them.
    left = system.files() - before - {"var/lib/private"}
    equal(sorted(left), [], "files that are left")
    equal(sorted(before - system.files()), [], "files that were there before")
    for accounts in ("passwd", "group", "shadow", "gshadow"):
        assert "hallpass" not in (system.root / "etc" / accounts).read_text(), accounts


@test("deb: a purge leaves a file of another package in /etc/hallpass alone")
def others(t):
    system = t.debian()
    control = "Package: corp-hallpass\nVersion: 1\nArchitecture: all\nMaintainer: IT <it@corp.example>\nDescription: policy\n"
    made = t.directory / "corp"
    for name, text in (("DEBIAN/control", control), ("etc/hallpass/policy.toml", "locked = []\n")):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", made, t.directory / "corp.deb"], check=True, stdout=subprocess.DEVNULL)
    system.install_deb(t.directory / "corp.deb")
    system.install_deb(package("deb", "1.0.0"))
    system.run("apt-get", "purge", "--yes", "hallpass")
    equal(sorted(path.name for path in (system.root / "etc/hallpass").iterdir()), ["policy.toml"], "in /etc/hallpass")


@test("deb: lintian has nothing to say", whole=True)
def lintian(t):
    [made] = released().glob("*.deb")
    # There is no bug of Debian's that a first upload could close.
    done = subprocess.run(["lintian", "--allow-root", "--tag-display-limit", "0", "--suppress-tags", "initial-upload-closes-no-bugs", made],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={"PATH": "/usr/bin:/bin", "HOME": str(t.directory), "LC_ALL": "C.UTF-8"})
    equal(done.stdout, "", "lintian")
