"""The installers of a machine and of one user, and the zip, as packaging/windows/build makes them."""
import functools
import hashlib
import os
import socket
import subprocess
import zipfile
from pathlib import Path

from tests_service import ALL_RUN, DATA, EVENTS, LOG, RUN, SERVICE, STATE, Machine, alive, free_port, order, relays, told, user_directory
from windows_run import ENVIRONMENT, EXE, PREFIX, ROOT, TARGET, WINE, equal, test, values, wait_for, wine

BUILT = TARGET / "windows" / "installers"
PROGRAMS = PREFIX / "drive_c" / "Program Files" / "hallpass"
PROGRAM = r"C:\Program Files\hallpass\hallpass.exe"
# When a service starts (winsvc.h).
AUTO, DEMAND = "2", "3"
# Where Windows keeps the installers of what is installed.
KEPT = PREFIX / "drive_c" / "windows" / "Installer"
MACHINE_PATH = r"HKLM\System\CurrentControlSet\Control\Session Manager\Environment"
FILES = ["LICENSE.txt", "README.md", "hallpass.example.toml", "hallpass.exe", "hallpassw.exe", "licences.txt"]


def build(version, out, *words):
    packed = subprocess.run([ROOT / "packaging" / "windows" / "build", "--version", version, "--out", out, "--exe-dir", slim(), *words],
                            capture_output=True, text=True)
    assert packed.returncode == 0, packed.stderr
    return packed.stdout


@functools.cache
def slim():
    """The executables without what a debugger wants, as a release has them."""
    directory = BUILT / "exe"
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("hallpass.exe", "hallpassw.exe"):
        subprocess.run(["x86_64-w64-mingw32-strip", "-o", directory / name, Path(EXE).with_name(name)], check=True)
    return directory


@functools.cache
def installers(version):
    build(version, BUILT, "--only", "msi")
    return BUILT / f"hallpass-{version}-x64.msi", BUILT / f"hallpass-{version}-x64-user.msi"


def export(installer, table):
    text = subprocess.run(["msiinfo", "export", installer, table], check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in text.replace("\r", "").splitlines()[3:]]


def msiexec(verb, installer, *properties, check=True):
    return told(BUILT, "msiexec", verb, "Z:" + str(installer).replace("/", "\\"), "/qn", *properties, check=check)


def ours_kept():
    return [file for file in KEPT.glob("*.msi") if dict(export(file, "Property"))["ProductName"] == "hallpass"]


def upgrade(installer, *properties, check=True):
    """Windows lets the version that makes way know by whom it is replaced. Wine 8 does not: here what it has kept of that version says so."""
    code = dict(export(installer, "Property"))["ProductCode"]
    assert ours_kept(), "nothing is installed"
    for file in ours_kept():
        if "UPGRADINGPRODUCTCODE" not in dict(export(file, "Property")):
            subprocess.run(["msibuild", file, "-q", f"INSERT INTO `Property` (`Property`, `Value`) VALUES ('UPGRADINGPRODUCTCODE', '{code}')"], check=True)
    return msiexec("/i", installer, *properties, check=check)


def path():
    """Wine leaves the semicolon of what it takes away."""
    return [entry for entry in values(MACHINE_PATH)["PATH"].split(";") if entry]


class Fleet(Machine):
    """A machine that is rolled out to."""

    def clear(self):
        for installer in ours_kept():
            msiexec("/x", installer, "PURGE=1", check=False)
        super().clear()


@test("the installers hold the programs and what IT has to know, and the next version replaces this one", Machine)
def contents(machine):
    products, upgrades = set(), set()
    for version in ("0.1.0", "0.2.0"):
        for installer in installers(version):
            directory = machine.directory / installer.stem
            subprocess.run(["msiextract", "-C", directory, installer], check=True, capture_output=True)
            equal(sorted(file.name for file in directory.rglob("*") if file.is_file()), FILES, installer.name)
            for name in ("hallpass.exe", "hallpassw.exe"):
                inside = next(directory.rglob(name)).read_bytes()
                equal(hashlib.sha256(inside).digest(), hashlib.sha256((slim() / name).read_bytes()).digest(), name)
            # What stands for the programs being there is a value of the registry (msidbComponentAttributesRegistryKeyPath).
            [programs] = [component for component in export(installer, "Component") if component[0] == "Programs"]
            assert int(programs[3]) & 4, programs
            properties = dict(export(installer, "Property"))
            equal(properties["ProductVersion"], version, installer.name)
            equal(properties.get("ALLUSERS"), None if "user" in installer.name else "1", installer.name)
            # Whatever fails after the version before was removed brings it back only if this was part of the transaction.
            sequence = {action: int(number) for action, _, number in export(installer, "InstallExecuteSequence")}
            assert sequence["InstallInitialize"] < sequence["RemoveExistingProducts"] < sequence["ProcessComponents"], sequence
            between = [name for name, number in sequence.items() if sequence["InstallInitialize"] < number < sequence["RemoveExistingProducts"]]
            equal(between, [], "what would be run before the version before is removed, and undone after it is brought back")
            products.add(properties["ProductCode"])
            upgrades.add(properties["UpgradeCode"])
            subprocess.run(["rm", "-r", directory], check=True)
    equal((len(products), len(upgrades)), (4, 2), "codes of products and of upgrades")


@test("the zip is the same at each build, byte for byte", Machine)
def portable(machine):
    made = []
    for number in "12":
        build("0.1.0", machine.directory / number, "--only", "zip")
        made.append(machine.directory / number / "hallpass-0.1.0-windows-x64.zip")
    equal(made[0].read_bytes() == made[1].read_bytes(), True, "the same bytes")
    with zipfile.ZipFile(made[0]) as archive:
        equal(archive.namelist(), [f"hallpass-0.1.0/{name}" for name in FILES], "what is in it")
    for file in made:
        file.unlink()
        file.parent.rmdir()


@test("a machine gets hallpass, its service and an upgrade without a word, and is as before when it is removed", Fleet)
def machine_wide(machine):
    before = path()
    machine.configure('grace = "1s"')
    configured = (DATA / "hallpass.toml").read_text()
    first, second = installers("0.1.0")[0], installers("0.2.0")[0]
    msiexec("/i", first, "SERVICE=1", "LOGON=1")
    equal(sorted(file.name for file in PROGRAMS.iterdir()), FILES, "what is installed")
    relays(machine.port)
    equal(values(SERVICE)["ObjectName"], "NT SERVICE\\hallpass", "the service's account")
    equal(values(EVENTS)["EventMessageFile"], r"%SystemRoot%\System32\EventCreate.exe", "the event source")
    equal(values(ALL_RUN)["hallpass"], r'"C:\Program Files\hallpass\hallpassw.exe"', "each user's log-in")
    equal(path(), [*before, "C:\\Program Files\\hallpass\\"], "PATH")
    said = wine("cmd", "/c", "hallpass", "--version", check=False)[1] or wine(r"C:\Program Files\hallpass\hallpass.exe", "--version")[1]
    assert said.startswith("hallpass "), said
    kept = STATE / "kept"
    kept.write_text("x")

    upgrade(second)
    equal((DATA / "hallpass.toml").read_text(), configured, "the configuration, after an upgrade")
    relays(machine.port)
    assert kept.exists() and values(ALL_RUN).get("hallpass"), "what was asked for at the installation"
    equal(path(), [*before, "C:\\Program Files\\hallpass\\"], "PATH after an upgrade")
    code, _ = msiexec("/i", first, check=False)
    assert code != 0, "an older version took the place of a newer one"

    upgrade(second := installers("0.3.0")[0], "SERVICE=0")
    assert not alive(machine.port) and not values(SERVICE) and PROGRAMS.exists(), values(SERVICE)
    upgrade(second := installers("0.4.0")[0], "SERVICE=1")
    relays(machine.port)

    msiexec("/x", second)
    wait_for("the end of the relay", lambda: not alive(machine.port))
    assert not PROGRAMS.exists() and not values(SERVICE) and not values(EVENTS) and not values(r"HKLM\Software\hallpass")
    assert "hallpass" not in values(ALL_RUN)
    equal(path(), before, "PATH afterwards")
    equal((DATA / "hallpass.toml").read_text(), configured, "the configuration stays")
    assert kept.exists() and LOG.exists(), "what the relay has kept stays"


@test("an upgrade leaves the service as an administrator has made it, with or without a word, and starts it again", Fleet)
def as_made(machine):
    machine.configure()
    other = free_port()
    msiexec("/i", installers("0.1.0")[0])
    wine(PROGRAM, "service", "install", "--system", "--listen", f"127.0.0.1:{other}")
    relays(other)
    made = values(SERVICE)
    for version, words in (("0.2.0", []), ("0.3.0", ["SERVICE=1"])):
        upgrade(installers(version)[0], *words)
        relays(other)
        equal(values(SERVICE), made, f"the service, after an upgrade with {words}")
        assert not alive(machine.port)

    # Which cannot be started at the moment; or is not to start.
    configured = (DATA / "hallpass.toml").read_text()
    (DATA / "hallpass.toml").write_text("nonsense = 1\n")
    upgrade(installers("0.4.0")[0])
    equal((values(SERVICE), alive(other)), (made, False), "the service whose configuration is wrong")
    (DATA / "hallpass.toml").write_text(configured)
    order("hallpass", "start", DEMAND)
    upgrade(installers("0.5.0")[0])
    equal((values(SERVICE), alive(other)), ({**made, "Start": "0x" + DEMAND}, False), "the service that is started by hand")
    wine(PROGRAM, "service", "start", "--system")
    relays(other)

    # A repair is one of the same version.
    order("hallpass", "start", AUTO)
    msiexec("/i", installers("0.5.0")[0], "REINSTALL=ALL")
    relays(other)
    equal(values(SERVICE), made, "the service, after a repair")
    msiexec("/x", installers("0.5.0")[0])
    assert not values(SERVICE) and not alive(other), values(SERVICE)


@test("the release takes the place of what was built before it under the same number", Fleet)
def same_number(machine):
    before, release = installers("0.1.0-dev.7")[0], installers("0.1.0")[0]
    msiexec("/i", before)
    upgrade(release)
    products = [dict(export(file, "Property"))["ProductCode"] for file in ours_kept()]
    equal(products, [dict(export(release, "Property"))["ProductCode"]], "what is installed")
    assert PROGRAMS.exists()
    msiexec("/x", release)
    assert not PROGRAMS.exists()


@test("without a wish there is no service, the machine's configuration is the example, and PURGE takes it along", Fleet)
def plain(machine):
    installer = installers("0.1.0")[0]
    msiexec("/i", installer)
    assert not values(SERVICE) and "hallpass" not in values(ALL_RUN)
    equal((DATA / "hallpass.toml").read_text(), (ROOT / "examples" / "hallpass.toml").read_text(), "the configuration")
    wine(r"C:\Program Files\hallpass\hallpass.exe", "config", "check")
    msiexec("/x", installer, "PURGE=1")
    assert not PROGRAMS.exists() and not DATA.exists()


@test("a user gets hallpass and its relay at log-in without administrators, an upgrade, and is as before when it is removed", Fleet)
def of_user(machine):
    programs = user_directory() / "Programs" / "hallpass"
    roaming = user_directory().parent / "Roaming" / "hallpass"
    roaming.mkdir(exist_ok=True)
    (roaming / "hallpass.toml").write_text(f'listen = ["127.0.0.1:{machine.port}"]\n')
    try:
        first, second = installers("0.1.0")[1], installers("0.2.0")[1]
        msiexec("/i", first)
        equal(sorted(file.name for file in programs.iterdir()), FILES, "what is installed")
        relays(machine.port)
        assert values(RUN)["hallpass"].endswith(r'\AppData\Local\Programs\hallpass\hallpassw.exe'), values(RUN)
        assert programs.name in values(r"HKCU\Environment").get("PATH", ""), values(r"HKCU\Environment")
        assert not PROGRAMS.exists() and not DATA.exists(), "something of the machine was touched"
        upgrade(second)
        relays(machine.port)
        equal(len(ours_kept()), 1, "how many versions are installed")
        # As the user has made it.
        other = free_port()
        mine = "C:\\" + str(programs.relative_to(PREFIX / "drive_c")).replace("/", "\\") + r"\hallpass.exe"
        told(machine.directory, mine, "service", "install", "--user", "--listen", f"127.0.0.1:{other}")
        made = values(RUN)["hallpass"]
        second = installers("0.3.0")[1]
        upgrade(second)
        relays(other)
        equal(values(RUN)["hallpass"], made, "the start at log-in, after an upgrade")
        assert made.endswith(str(other)) and not alive(machine.port), made
        msiexec("/x", second, "PURGE=1")
        assert not alive(other) and not programs.exists() and "hallpass" not in values(RUN)
        assert not values(r"HKCU\Software\hallpass") and "hallpass" not in values(r"HKCU\Environment").get("PATH", "")
        assert not (user_directory() / "hallpass").exists() and (roaming / "hallpass.toml").exists()
        msiexec("/i", first, "SERVICE=0")
        assert not alive(machine.port) and "hallpass" not in values(RUN)
        upgrade(second)
        assert not alive(machine.port) and "hallpass" not in values(RUN), "the upgrade forgot that no relay was wanted"
        upgrade(installers("0.4.0")[1], "SERVICE=1")
        relays(machine.port)
        msiexec("/x", installers("0.4.0")[1])
        # A port that somebody else has for the moment is no reason to leave nothing.
        with socket.create_server(("127.0.0.1", machine.port)):
            msiexec("/i", first)
        assert programs.exists() and "hallpass" in values(RUN) and not alive(machine.port)
    finally:
        (roaming / "hallpass.toml").unlink()
