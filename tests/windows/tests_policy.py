"""Managed policy from the registry, by the reader that Windows has; and what is exported for it."""
import contextlib
import re
import socket
from json import loads

from windows_run import EXE, PREFIX, equal, test, wait_for, wine

HKLM, HKCU = r"HKLM\SOFTWARE\Policies\hallpass", r"HKCU\SOFTWARE\Policies\hallpass"


def put(key, name, value, kind="REG_SZ"):
    # Right after a process was killed Wine may not let anybody write.
    wait_for(key, lambda: wine("reg", "add", key, "/v", name, "/t", kind, "/d", value, "/f", check=False)[0] == 0)


@contextlib.contextmanager
def no_policy_left():
    """None before, none after."""
    def clear():
        for key in (HKLM, HKCU):
            wine("reg", "delete", key, "/f", check=False)
    clear()
    try:
        yield
    finally:
        clear()


def show(*arguments):
    """What counts by key, each with where it stands; and what is said above."""
    code, text = wine(EXE, "config", "show", *arguments, check=False)
    assert code == 0, text
    rows = re.findall(r"(?m)^([a-z_0-9]+ = .*?)  # (.*)$", text)
    return dict(rows), text


@test("the registry's policy locks what files, variables and flags say otherwise; HKLM stands above HKCU, and its Recommended below files")
def locks(desk):
    with no_policy_left():
        put(HKLM, "grace", "9s")
        put(HKLM, "max_clients", "500", "REG_DWORD")
        put(HKLM, "no_proxy", r"localhost\0*.corp.example", "REG_MULTI_SZ")
        put(HKLM + r"\pac", "wpad", "1", "REG_DWORD")
        put(HKLM + r"\upstreams\office", "url", "http://proxy.corp.example:8080")
        put(HKLM + r"\upstreams", "backup", "http://backup.corp.example:8080")
        put(HKLM + r"\Recommended", "connect_timeout", "7s")
        put(HKLM + r"\Recommended", "head_timeout", "7s")
        put(HKCU, "grace", "1s")
        put(HKCU, "max_logons", "3", "REG_DWORD")
        mine = desk.directory / "mine.toml"
        mine.write_text('grace = "2s"\nhead_timeout = "8s"\n[upstreams.mine]\nurl = "http://mine:1"\n')
        counts, text = show("--config", mine)
        for row, place in [
            ('grace = "9s"', rf"{HKLM}, value grace, locked"),
            ("max_clients = 500", rf"{HKLM}, value max_clients, locked"),
            ("max_logons = 3", rf"{HKCU}, value max_logons, locked"),
            ('no_proxy = ["localhost", "*.corp.example"]', rf"{HKLM}, value no_proxy, locked"),
            ("wpad = true", rf"{HKLM}\pac, value wpad, locked"),
            ('url = "http://proxy.corp.example:8080"', rf"{HKLM}\upstreams\office, value url, locked"),
            ('url = "http://backup.corp.example:8080"', rf"{HKLM}\upstreams, value backup, locked"),
            ('connect_timeout = "7s"', rf"{HKLM}\Recommended, value connect_timeout"),
        ]:
            equal(counts.get(row), place, f"{row} in\n{text}")
        assert counts['head_timeout = "8s"'].endswith(rf"mine.toml:2:1, instead of {HKLM}\Recommended, value head_timeout"), text
        assert "mine:1" not in text and f"# policy read: {HKLM}\n# policy read: {HKCU}\n" in text, text
        assert f"{HKCU}, value grace: grace: passed over (locked by policy: {HKLM}, value grace)" in text, text
        for flag, value in [("--grace", "2s"), ("--upstream", "mine:1"), ("--pac", "http://mine/p.pac"), ("--no-proxy", "*")]:
            code, said = wine(EXE, "serve", "--no-config", flag, value, check=False)
            equal(code, 2, said)
            assert said.startswith(rf"{flag}: locked by policy: {HKLM}"), said


@test("a policy that is one JSON text is read, single values stand above it, and one that makes no sense stops everything")
def json(desk):
    with no_policy_left():
        file = desk.directory / "policy.reg"
        text = '{"grace": "9s", "log": {"level": "warn"}, "upstreams": {"z": {"url": "http://z:1"}, "a": {"url": "http://a:1"}}}'
        escaped = text.replace('"', '\\"')
        file.write_text("Windows Registry Editor Version 5.00\r\n\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\hallpass]\r\n"
                        f'"Configuration"="{escaped}"\r\n"max_clients"=dword:00000007\r\n\r\n'
                        "[HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\hallpass\\log]\r\n\"level\"=\"debug\"\r\n", "utf-16")
        wine("reg", "import", file)
        counts, text = show("--no-config")
        equal(counts['grace = "9s"'], f"{HKLM}, value Configuration, locked", text)
        equal(counts['level = "debug"'], rf"{HKLM}\log, value level, locked", text)
        equal(re.findall(r"\[upstreams\.(\w)\]", text), ["z", "a"], "the order of the JSON")
        put(HKLM, "grcae", "9s")
        code, said = wine(EXE, "serve", "--no-config", check=False)
        equal(code, 2, said)
        assert rf"{HKLM}, value grcae: grcae: no such key (did you mean grace?)" in said, said


@test("a relay that runs takes a policy of the registry that appears, and goes back when it is taken away")
def changes(desk):
    with no_policy_left():
        log = desk.directory / "relay.log"
        says = lambda words, times=1: wait_for(words, lambda: log.read_text(errors="replace").count(words) >= times)
        put(HKLM + r"\log", "format", "json")
        says('"message":"reloaded"')
        wine("reg", "delete", HKLM, "/f")
        says("INFO reloaded")


@test("what is exported for the registry is the same configuration once reg import has taken it")
def round_trip(desk):
    with no_policy_left():
        source, exported = desk.directory / "f.toml", desk.directory / "out.reg"
        source.write_text(
            'grace = "9s"\nconnect_ports = [443, 8443]\nuser_agent = "a \\"quoted\\" \\\\ agent"\nkeepalive = "off"\n'
            'no_proxy = ["*.corp.example", "10.0.0.0/8"]\nlisteners = []\n[pac]\nwpad = true\n[log]\nformat = "json"\n'
            '[upstreams.z]\nurl = "http://z.example:8080"\nschemes = ["ntlm"]\ncredential = "corp"\n[upstreams.a]\nurl = "https://a.example:8443"\n'
            "[credentials.corp]\nuser = 'CORP\\alice'\nkdc = [\"dc1.corp.example\"]\n"
            '[[rules]]\nhosts = ["gateway.internal"]\nports = [443, "8000-8999"]\nuse = ["z", "direct"]\nreason = "so \\"it\\" is"\n'
            '[profiles."z office"]\nwhen = { subnet = ["10.0.0.0/8"] }\nupstreams = ["z"]\n[profiles.home]\n')
        wine(EXE, "config", "export", "--format", "reg", "--config", source, "--out", exported, "--untried")
        put(HKLM, "head_timeout", "1s")   # what was there before goes
        wine("reg", "import", exported)
        rows = lambda text: [line.split("  # ")[0] for line in text.splitlines() if not line.startswith("#")]
        managed = rows(show("--no-config")[1])
        wine("reg", "delete", HKLM, "/f")
        before = rows(show("--config", source)[1])
        equal(managed, before, "what counts")
        assert 'grace = "9s"' in managed and "[[rules]]" in managed, managed


@test("a policy takes no secret in plain text and no value of another type, and says where a secret belongs: a file, from the drive on")
def no_secret(desk):
    with no_policy_left():
        corp = HKLM + r"\credentials\corp"
        put(corp, "user", r"CORP\alice")
        put(corp, "password", "hunter2")
        code, said = wine(EXE, "config", "check", "--no-config", check=False)
        equal(code, 2, said)
        wanted = rf'{corp}, value password: credentials.corp.password: a plain-text secret in a policy, which everybody can read ("${{file:/path}}"'
        assert wanted in said and "hallpass login" in said and not re.search("hunter2|chmod|LoadCredential", said), said
        put(corp, "password", r"${file:C:\windows\secret}")
        code, said = wine(EXE, "config", "check", "--no-config", check=False)
        equal(code, 0, said)
        put(corp, "password", r"${file:windows\secret}")
        code, said = wine(EXE, "config", "check", "--no-config", check=False)
        assert code == 2 and "the path of a secret is a whole one" in said, said
        wine("reg", "delete", HKLM, "/f")
        for kind, value, why in [("REG_EXPAND_SZ", "9s", "a REG_EXPAND_SZ (REG_SZ with ${env:NAME} is filled in) cannot stand here"),
                                 ("REG_BINARY", "00", "a REG_BINARY cannot stand here"),
                                 ("REG_MULTI_SZ", "9s", "a list cannot stand here"),
                                 ("REG_DWORD", "9", 'a duration needs a unit (write "9s")')]:
            put(HKLM, "grace", value, kind)
            code, said = wine(EXE, "config", "check", "--no-config", check=False)
            assert code == 2 and f"{HKLM}, value grace: grace: {why}" in said, (kind, said)


@test("audit records go to the file, from the drive on, that a policy names")
def audit(desk):
    with no_policy_left():
        file = PREFIX / "drive_c" / "audit.jsonl"
        file.unlink(missing_ok=True)
        put(HKLM + r"\audit", "to", r"C:\audit.jsonl")

        def recorded():
            with socket.create_connection(("127.0.0.1", desk.port), 10) as client:
                client.sendall(b"nonsense\r\n\r\n")
                assert client.recv(4096).startswith(b"HTTP/1.1 400 ")
            return file.exists() and file.read_text().splitlines()
        equal(loads(wait_for("a record", recorded)[0])["end"], "bad_request")
