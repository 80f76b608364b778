"""What is made for other programs: the schema for validators, manual pages for man, completions for shells."""
import contextlib
import json
import os
import pty
import subprocess
import tomllib

from harness import HALLPASS, ROOT, equal, test, wait_for

WRONG = {
    "a key that is none": 'grcae = "5s"',
    "a key in a table that has none of it": '[log]\ngrace = "5s"',
    "a duration without a unit": "grace = 5",
    "a duration with a unit of its own": 'grace = "5 seconds"',
    "a time-out that cannot be off": 'connect_timeout = "off"',
    "a size in kB": 'max_head = "64kB"',
    "too many clients": "max_clients = 2000000",
    "a word that is none of the choices": 'direct_fallback = "on-error"',
    "a level that is none": '[log]\nlevel = "verbose"',
    "an upstream without a port": '[upstreams.office]\nurl = "http://proxy.corp.example"',
    "a scheme that is none": '[upstreams.office]\nurl = "http://p:1"\nschemes = ["ntml"]',
    "a table where a list of tables stands": '[rules]\nuse = "direct"',
    "a port that is none": "[[listeners]]\ninterface = \"lo\"\nport = 99999",
    "a switch that is a word": "[pac]\nwpad = \"yes\"",
    "a list of tables in place of a key": '[[grace]]\nx = 1',
    "a hash that is none": '[credentials.a]\nuser = "a"\nnt_hash = "abc"',
}
RIGHT = {
    "one value for a list": 'no_proxy = "a"\nlisten = 3128',
    "a number as text": 'max_clients = "100"\n[[listeners]]\ninterface = "lo"\nport = "1080"\nsocks5 = "true"',
    "what is filled in": 'grace = "${env:GRACE}"\nmax_head = "${file:/x}"\n[log]\nlevel = "${env:LEVEL}"',
    "one port, and any": 'connect_ports = 443',
    "a line for editors": '#:schema ./hallpass.schema.json\ngrace = "1s"',
}


VALIDATE = """
import json, sys
import jsonschema
schema, files = json.load(sys.stdin)
jsonschema.Draft202012Validator.check_schema(schema)
known = jsonschema.Draft202012Validator(schema)
print(json.dumps({name: [error.message for error in known.iter_errors(values)] for name, values in files.items()}))
"""


def complaints(t, files):
    """What a validator says of each, by the schema as it is printed. The system's Python has one."""
    schema = json.loads(t.run(HALLPASS, "config", "schema"))
    equal(schema["$schema"], "https://json-schema.org/draft/2020-12/schema")
    values = {name: tomllib.loads(text) for name, text in files.items()}
    return json.loads(t.run("/usr/bin/python3", "-c", VALIDATE, stdin=json.dumps([schema, values])))


@test("the schema takes every example, and each of a dozen wrong files is refused by it and by config check alike")
def schema(t):
    examples = {file.name: file.read_text() for file in (ROOT / "examples").glob("*.toml")}
    assert len(examples) >= 10, examples
    for name, said in complaints(t, examples | RIGHT).items():
        assert not said, f"{name}: {said}"
    for name, said in complaints(t, WRONG).items():
        assert said, f"the schema takes {name}"
        file = t.dir / "wrong.toml"
        file.write_text(WRONG[name])
        file.chmod(0o600)
        said = t.run(HALLPASS, "config", "check", "--config", file, check=False)
        assert "ok: " not in said, f"config check takes {name}: {said}"


@test("the schema takes the example with the comment marks of all keys removed")
def every_key(t):
    lines = [line.removeprefix("#").strip() for line in (ROOT / "examples" / "hallpass.toml").read_text().splitlines()]
    keys = [line for line in lines if line.startswith("[") or (" = " in line and " " not in line.split(" = ")[0])]
    text = "\n".join(keys)
    values = tomllib.loads(text)
    assert len(values) > 20 and "upstreams" in values and "rules" in values, values
    equal(complaints(t, {"all": text}), {"all": []})


@test("man finds nothing wrong with any manual page")
def pages(t):
    pages = t.dir / "pages"
    t.run(HALLPASS, "man", "--all", pages)
    found = sorted(pages.glob("hallpass*.1"))
    assert len(found) > 10, found
    for page in found:
        said = t.run("groff", "-man", "-ww", "-Tutf8", "-z", page)
        equal(said, "", page.name)
    shown = t.run("man", "-l", pages / "hallpass-login.1", MANWIDTH="120", MANPAGER="cat")
    assert "--password-stdin" in shown.replace("\u2010", "-") and "hallpass login 'CORP" in shown, shown


@test("{} completes a command and a flag", each=["zsh", "fish"])
def completions(t, shell):
    script = t.dir / {"zsh": "_hallpass", "fish": "hallpass.fish"}[shell]
    script.write_text(t.run(HALLPASS, "completions", shell))
    if shell == "fish":
        ask = lambda line: t.run("fish", "--no-config", "-c", f"source {script}; complete -C '{line}'")   # noqa: E731
        assert "login" in ask("hallpass logi"), ask("hallpass logi")
        assert "--password-stdin" in ask("hallpass login --pass"), ask("hallpass login --pass")
        return
    # zsh completes for a terminal only: it gets one, and a Tab.
    (t.dir / ".zshrc").write_text(f"fpath=({t.dir} $fpath)\nautoload -Uz compinit && compinit -u\nPS1='ready> '\n")
    ours, its = pty.openpty()
    process = subprocess.Popen(["zsh", "-i"], env=t.env(TERM="dumb", ZDOTDIR=str(t.dir)), cwd=t.dir, stdin=its, stdout=its, stderr=its,
                               start_new_session=True)
    os.close(its)
    shown = Shown(ours)
    try:
        wait_for("zsh's prompt", lambda: "ready> " in shown.text(), 30)
        os.write(ours, b"hallpass login --password-s\t")
        wait_for("the rest of the flag", lambda: "--password-stdin" in shown.text(), 30)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


class Shown:
    """What a terminal has shown so far."""

    def __init__(self, descriptor):
        os.set_blocking(descriptor, False)
        self.descriptor, self.bytes = descriptor, b""

    def text(self):
        with contextlib.suppress(BlockingIOError):
            self.bytes += os.read(self.descriptor, 65536)
        return self.bytes.decode(errors="replace").replace("\b", "")
