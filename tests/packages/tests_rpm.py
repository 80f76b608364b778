"""The rpm, as far as rpm's own tools reach on a Debian: read, installed, upgraded and erased there, its scripts run by its own sh."""
import re
import subprocess

from harness import equal, test
from made import ROOT, package, released, tree

CONFIGURATION = "etc/hallpass/hallpass.toml"
# Where the two kinds of systems hold the same thing.
MOVED = {"/usr/share/zsh/site-functions/_hallpass": "/usr/share/zsh/vendor-completions/_hallpass",
         "/usr/share/licenses/hallpass/LICENSE": "/usr/share/doc/hallpass/LICENSE",
         "/usr/share/licenses/hallpass/licences.txt.gz": "/usr/share/doc/hallpass/licences.txt.gz"}


def rpm(*arguments, root=None, check=True):
    into = ["--root", root] if root else []
    done = subprocess.run(["rpm", *into, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert not check or done.returncode == 0, f"rpm {arguments} ended with {done.returncode}:\n{done.stdout}"
    # A Debian's own rpm wonders that it is used.
    return "".join(line for line in done.stdout.splitlines(keepends=True) if not line.startswith("rpm: "))


def install(system, version, action="--install"):
    """What a Debian has no rpm of (libc, the Kerberos library) is declared; another test reads that."""
    return rpm(action, "--nodeps", package("rpm", version), root=system.root)


def is_enabled(system, unit, *of):
    return system.run("systemctl", *of, "is-enabled", unit, check=False).strip()


@test("rpm: it holds what the tree of all packages holds, and presets")
def contents(t):
    listed = rpm("--query", "--package", "--list", package("rpm", "1.0.0")).split()
    staged = tree("1.0.0")
    whole = {f"/{path.relative_to(staged)}" for path in staged.rglob("*") if path.is_file()}
    files = {MOVED.get(path, path) for path in listed if not path.endswith(".preset")}
    equal(sorted(whole - files), [], "what is not in the rpm")
    directories = {"/etc/hallpass", "/usr/share/doc/hallpass", "/usr/share/licenses/hallpass"}
    equal(sorted(path for path in files - whole - directories if not path.startswith("/usr/share/doc/hallpass/")), [], "what only the rpm has")
    equal(rpm("--query", "--package", "--configfiles", package("rpm", "1.0.0")).split(), [f"/{CONFIGURATION}"])
    owners = rpm("--query", "--package", "--queryformat", "[%{FILEUSERNAME} %{FILEGROUPNAME}\n]", package("rpm", "1.0.0")).splitlines()
    equal(set(owners), {"root root"}, "owners")


@test("rpm: it declares libc and the Kerberos library, found by rpm itself")
def requires(t):
    required = {line.split("(")[0] for line in rpm("--query", "--package", "--requires", package("rpm", "1.0.0")).split("\n") if ".so" in line}
    assert {"libc.so.6", "libgssapi_krb5.so.2"} <= required, required
    others = required - {"libc.so.6", "libgssapi_krb5.so.2", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
    equal(others, set(), "what else it needs")


@test("rpm: its scripts are right for sh, and end well where there is no systemd")
def scripts(t):
    text = rpm("--query", "--package", "--scripts", package("rpm", "1.0.0"))
    parts = re.split(r"^(\w+) scriptlet \(using (/bin/sh)\):$", text, flags=re.M)[1:]
    named = {parts[i]: parts[i + 2] for i in range(0, len(parts), 3)}
    equal(sorted(named), ["postinstall", "postuninstall", "preuninstall"])
    bare = {"PATH": str(t.directory / "bin")}
    (t.directory / "bin").mkdir()
    for tool in ("rm", "sed"):
        (t.directory / "bin" / tool).symlink_to(f"/usr/bin/{tool}")
    for name, script in named.items():
        path = t.directory / name
        path.write_text(f"#!/bin/sh\n{script}")
        subprocess.run(["shellcheck", "--shell=sh", "--exclude=SC2086", path], check=True)
        for instances in ("0", "1", "2"):
            subprocess.run(["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /run && mount -t tmpfs none /var/lib && PATH=$2 exec /bin/sh "$0" "$1"', path, instances, bare["PATH"]],
                           check=True)


@test("rpm: installed, sessions have the relay by themselves, the system has one when it is enabled")
def installed(t):
    system = t.debian()
    install(system, "1.0.0")
    equal(is_enabled(system, "hallpass.service", "--global"), "enabled", "of sessions")
    equal(is_enabled(system, "hallpass.socket", "--global"), "disabled", "the socket of sessions")
    equal(is_enabled(system, "hallpass.service"), "disabled", "of the system")
    assert system.run("hallpass", "--version").startswith("hallpass ")
    system.run("hallpass", "config", "check")
    equal(rpm("--verify", "--nodeps", "hallpass", root=system.root), "", "files that are not as they were packed")
    assert "hallpass:" in (system.root / "etc/passwd").read_text()


@test("rpm: an administrator's preset says otherwise")
def preset(t):
    system = t.debian()
    directory = system.root / "etc/systemd/user-preset"
    directory.mkdir(parents=True)
    (directory / "10-corp.preset").write_text("disable hallpass.service\n")
    install(system, "1.0.0")
    equal(is_enabled(system, "hallpass.service", "--global"), "disabled", "of sessions")


@test("rpm: an upgrade keeps a changed configuration and what was enabled or not")
def upgraded(t):
    system = t.debian()
    install(system, "1.0.0")
    changed = (system.root / CONFIGURATION).read_text() + '\n[access]\nusers = ["root"]\n'
    (system.root / CONFIGURATION).write_text(changed)
    system.run("systemctl", "--global", "disable", "hallpass.service")
    system.run("systemctl", "enable", "hallpass.service")
    install(system, "2.0.0", "--upgrade")
    equal((system.root / CONFIGURATION).read_text(), changed, "the configuration")
    assert "2.0.0 has something new" in (system.root / f"{CONFIGURATION}.rpmnew").read_text()
    equal(is_enabled(system, "hallpass.service", "--global"), "disabled", "of sessions")
    equal(is_enabled(system, "hallpass.service"), "enabled", "of the system")
    equal(rpm("--query", "hallpass", root=system.root).strip().split("-")[1], "2.0.0")


@test("rpm: erased, it leaves nothing but a changed configuration under another name")
def erased(t):
    system = t.debian()
    before = system.files()
    for changed, left in ((False, []), (True, ["etc/hallpass", f"{CONFIGURATION}.rpmsave"])):
        install(system, "1.0.0")
        system.run("systemctl", "enable", "hallpass.service")
        (system.root / "var/lib/hallpass").mkdir()
        if changed:
            (system.root / CONFIGURATION).write_text("# ours\n")
        rpm("--erase", "hallpass", root=system.root)
        # Directories of systemd that hold links of any unit stay, as on any system, and so does the account of the service.
        shared = {path for path in system.files() - before if (system.root / path).is_dir() and "hallpass" not in path}
        backups = {f"etc/{name}-" for name in ("passwd", "group", "shadow", "gshadow")}
        equal(sorted(system.files() - before - shared - backups), left, "files that are left")


@test("rpm: rpmlint has nothing to say but what tests/packages/rpmlint.toml answers", whole=True)
def rpmlint(t):
    [made] = released().glob("*.rpm")
    done = subprocess.run(["rpmlint", "--config", ROOT / "tests/packages/rpmlint.toml", made, ROOT / "packaging/rpm/hallpass.spec"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert "1 packages and 1 specfiles checked; 0 errors, 0 warnings" in done.stdout, done.stdout
