"""Managed policy where Linux really has it: in /etc of a mount namespace of its own; and the templates of Group Policy."""
import contextlib
import json
import os
import plistlib
import shutil
import signal
import subprocess
import tomllib
from pathlib import Path

import harness
from harness import HALLPASS, equal, test, wait_for
from namespace import Place

ROOT = Path(__file__).resolve().parent.parent.parent
POLICY = "/etc/hallpass/policy.toml"
USER = 65534
KEPT = ("passwd", "group", "nsswitch.conf", "hosts", "ld.so.cache", "ssl")
OFFICE = 'grace = "9s"\n[upstreams.office]\nurl = "http://proxy.corp.example:8080"\n[recommended]\nconnect_timeout = "7s"\n'


class Machine:
    """A machine with an /etc of its own, in which nothing of hallpass is but what a test writes."""

    def __init__(self, t):
        self.t, self.place = t, Place("--mount", "--propagation=private")
        self.etc = t.dir / "etc"
        (self.etc / "hallpass").mkdir(parents=True)
        for name in KEPT:
            there = Path("/etc") / name
            if there.is_dir():
                shutil.copytree(there, self.etc / name, symlinks=True)
            elif there.exists():
                shutil.copy(there, self.etc / name)
        self.within = ["nsenter", f"--target={self.place.pid}", "--net", "--mount"]
        subprocess.run([*self.within, "mount", "--bind", self.etc, "/etc"], check=True)
        self.file = self.etc / "hallpass" / "policy.toml"

    def write(self, text):
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text)
        fresh.chmod(0o644)
        fresh.rename(self.file)

    def hallpass(self, *arguments, within=(), **env):
        done = subprocess.run([*self.within, *within, HALLPASS, *map(str, arguments)], cwd=self.t.dir, env=self.t.env(**env),
                              capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr


@contextlib.contextmanager
def machine(t):
    m = Machine(t)
    try:
        yield m
    finally:
        m.place.close()


class Relay(harness.Relay):
    def __init__(self, t, m, toml, flags=()):
        self.dir = t.dir / f"relay-{len(t.relays)}"
        self.dir.mkdir()
        t.relays.append(self)
        self.launch(t, toml, "127.0.0.1:0", m.within, flags)

    def says(self, words, times=1):
        return wait_for(f"the log to say {words!r}", lambda: self.log.read_text().count(words) >= times, 20)


def line(shown, key):
    return next(line for line in shown.splitlines() if line.startswith(f"{key} = "))


@test("a policy in /etc locks what other files, no file, variables and flags say otherwise, and its place is named", stage="places")
def locks(t):
    with machine(t) as m:
        m.write(OFFICE)
        mine = t.dir / "mine.toml"
        mine.write_text('grace = "1s"\nno_proxy = ["*"]\n[upstreams.mine]\nurl = "http://mine:1"\n')
        code, shown, said = m.hallpass("config", "show", "--config", mine)
        equal((code, line(shown, "grace")), (0, f'grace = "9s"  # {POLICY}:1:1, locked'), said)
        equal(line(shown, "no_proxy"), f"no_proxy = []  # default, locked by {POLICY}:2:12")
        equal(line(shown, "connect_timeout"), f'connect_timeout = "7s"  # {POLICY}:5:1')
        assert f"# policy read: {POLICY}\n" in shown and "mine:1" not in shown, shown
        for key, at in [("grace", "1:1"), ("no_proxy", "2:1"), ("upstreams.mine", "3:12")]:
            assert f"# warning: {mine}:{at}: {key}: passed over (locked by policy: {POLICY}:" in shown, shown
        assert f"policy: ok: {POLICY}\n" in m.hallpass("config", "list")[1]
        code, shown, said = m.hallpass("config", "check", "--no-config")
        assert code == 0 and shown.endswith(f"; by the policy of {POLICY}\n"), (shown, said)
        code, shown, said = m.hallpass("config", "init", "--no-try", "--template", "--config", t.dir / "new.toml")
        assert code == 0 and f"# a policy stands above it: {POLICY}; hallpass config show says what counts" in shown, (shown, said)
        code, shown, _ = m.hallpass("config", "show", "--no-config")
        equal((code, line(shown, "grace")), (0, f'grace = "9s"  # {POLICY}:1:1, locked'))
        for flags, env, who in [(("--grace", "1s"), {}, "--grace"), ((), {"HALLPASS_GRACE": "1s"}, "HALLPASS_GRACE"),
                                (("--upstream", "mine:1"), {}, "--upstream"), ((), {"HALLPASS_PAC": "/x.pac"}, "HALLPASS_PAC")]:
            code, _, said = m.hallpass("serve", "--no-config", *flags, **env)
            equal(code, 2, who)
            assert said.startswith(f"{who}: locked by policy: {POLICY}:"), said
        # Nothing that a user sets leads elsewhere.
        code, shown, _ = m.hallpass("config", "show", HALLPASS_NO_CONFIG="1", XDG_CONFIG_HOME=str(t.dir), HOME="/nowhere")
        equal((code, line(shown, "grace")), (0, f'grace = "9s"  # {POLICY}:1:1, locked'))


@test("a policy that others than root may write, or that cannot be read, stops everything and says how to mend it", stage="places")
def refused(t):
    with machine(t) as m:
        m.write(OFFICE)
        as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        for path in (t.dir, *t.dir.parents):
            assert path.stat().st_mode & 0o005 == 0o005 or path == Path("/root"), f"{path} is closed to others"
        directory = m.file.parent
        cases = [(m.file, 0, 0o646), (m.file, USER, 0o644), (directory, 0, 0o777), (directory, USER, 0o755)]
        for path, owner, mode in cases:
            before = path.stat()
            os.chown(path, owner, owner)
            path.chmod(mode)
            for within in ((), as_user):
                code, out, said = m.hallpass("serve", "--no-config", "--listen", "127.0.0.1:0", within=within)
                equal(code, 2, f"{path} {owner} {mode:o} {within}: {said}")
                why = "others than root may change this policy, so it is not taken (chown root:root /etc/hallpass"
                assert said.startswith(f"{POLICY}:1:1: {why}"), said
            shown = m.hallpass("config", "show", "--no-config")[1]
            assert f"# policy refused: {POLICY}: {why}" in shown and "# policy read" not in shown, shown
            policies = json.loads(m.hallpass("config", "show", "--no-config", "--json")[1])["policies"]
            equal([(one["path"], one["state"], one["why"].startswith(why)) for one in policies], [(POLICY, "refused", True)])
            fresh = t.dir / f"fresh-{owner}-{mode:o}-{path.name}.toml"
            code, written, said = m.hallpass("config", "init", "--no-try", "--template", "--config", fresh)
            assert f"# the policy that stands above it is refused, and nothing starts: {POLICY}: {why}" in written, (written, said)
            code, listed, said = m.hallpass("config", "list")
            assert code == 0 and f"policy: refused, and nothing starts: {POLICY}: {why}" in listed, (listed, said)
            os.chown(path, before.st_uid, before.st_gid)
            path.chmod(before.st_mode)
        m.file.chmod(0o600)
        code, _, said = m.hallpass("config", "check", "--no-config", within=as_user)
        equal(code, 2, said)
        assert said.startswith(f"{POLICY}:1:1: cannot read the policy: Permission denied"), said
        m.write("grace = \n")
        code, shown, said = m.hallpass("config", "show", "--no-config")
        equal(code, 2, said)
        assert said.startswith(f"{POLICY}:1:") and f"# wrong: {POLICY}:1:" in shown, (said, shown)


@test("a relay takes a policy that appears and changes, and keeps the former one while it is wrong", stage="places")
def changes(t):
    with machine(t) as m:
        relay = Relay(t, m, 'max_clients = 7\n[log]\nlevel = "info"\n')
        m.write('max_clients = 5\n[log]\nlevel = "debug"\n')
        relay.says("INFO reloaded")
        relay.says(f"max_clients: passed over (locked by policy: {POLICY}:1:1)")
        m.write("max_clients = none\n")
        relay.says("not reloaded: the configuration is wrong, the former one stays")
        assert f"{POLICY}:1:" in relay.log.read_text()
        assert relay.process.poll() is None
        m.file.chmod(0o666)
        relay.process.send_signal(signal.SIGHUP)
        relay.says("others than root may change this policy")
        m.file.unlink()
        relay.says("INFO reloaded", 2)


@test("the templates of Group Policy are what their documentation allows, and the schema of keys takes what is exported", stage="places")
def templates(t):
    out = t.dir / "PolicyDefinitions"
    subprocess.run([HALLPASS, "config", "export", "--format", "admx", "--out", out], check=True, stdout=subprocess.DEVNULL)
    schema = ROOT / "tests" / "data" / "policy" / "definitions.xsd"
    files = [out / "hallpass.admx", out / "en-US" / "hallpass.adml"]
    for file in files:
        subprocess.run(["xmllint", "--noout", "--schema", schema, file], check=True, capture_output=True)
    import jsonschema   # which was installed meanwhile
    keys = jsonschema.Draft202012Validator(json.loads(subprocess.run([HALLPASS, "config", "schema"], check=True, capture_output=True).stdout))
    checked = 0
    for example in sorted((ROOT / "examples").glob("*.toml")):
        def export(kind):
            for name in ("corp-ca.pem", "me.pem", "me.key"):
                (t.dir / name).write_text("-----BEGIN CERTIFICATE-----\n")
            shutil.copy(example, t.dir / example.name)
            command = [HALLPASS, "config", "export", "--untried", "--defaults", "--format", kind, "--config", example.name]
            return subprocess.run(command, check=True, capture_output=True, cwd=t.dir, env=t.env()).stdout
        keys.validate(tomllib.loads(export("txt").decode()))
        settings = plistlib.loads(export("mobileconfig"))["PayloadContent"][0]["PayloadContent"]["hallpass"]["Forced"][0]["mcx_preference_settings"]
        keys.validate(json.loads(settings.pop("Configuration", "{}")))
        keys.validate(settings)
        checked += 1
    assert checked >= 10, checked
    # They can fail.
    equal(keys.is_valid({"grace": 5}), False, "a wrong value")
    broken = t.dir / "broken.admx"
    broken.write_text(files[0].read_text().replace('class="Both"', 'class="Nobody"', 1))
    equal(subprocess.run(["xmllint", "--noout", "--schema", schema, broken], capture_output=True).returncode, 3, "a wrong one")
