"""From the binary to a prompt that is answered: what somebody types who has never heard of a proxy, and what they see."""
import os
import pty
import re
import select
import signal
import subprocess
import time
from contextlib import contextmanager

from harness import CA_FILE, HALLPASS, NPM, ROOT, RUN, bad_logons, equal, origin_log, test, unlock, wait_for
from layout import ACCOUNTS, SQUIDS
from tests_login import desktop

MINUTE = 60
MOST_ANSWERS = 6
RECORD = ROOT / "docs" / "newcomer.md"


class Person:
    """Somebody at a terminal, who reads before they type."""

    def __init__(self, t, *command, **env):
        self.terminal, side = pty.openpty()
        # rpassword asks at the terminal that controls the session.
        self.process = subprocess.Popen(["setsid", "--ctty", "--wait", *command], cwd=t.dir, env=t.env(**env), stdin=side, stdout=side, stderr=side)
        os.close(side)
        self.shown, self.read_up_to, self.answers = "", 0, 0

    def sees(self, words, seconds=20):
        end = time.monotonic() + seconds
        while words not in self.shown[self.read_up_to:]:
            assert self.hears(end), f"no {words!r} in {self.shown!r}"
        self.read_up_to = self.shown.index(words, self.read_up_to) + len(words)

    def hears(self, end):
        if not select.select([self.terminal], [], [], max(0, end - time.monotonic()))[0]:
            return False
        try:
            piece = os.read(self.terminal, 4096)
        except OSError:   # the other side has closed it
            return False
        self.shown += piece.decode()
        return bool(piece)

    def answer(self, question, text):
        self.sees(question)
        if "Password" in question:   # typed before the echo is off, it would be shown
            wait_for("the echo to be off", lambda: "-echo " in self.stty())
        os.write(self.terminal, text.encode() + b"\r")
        self.answers += 1

    def stty(self):
        return subprocess.run(["stty", "-a"], stdin=self.terminal, capture_output=True, text=True).stdout

    def leaves(self):
        while self.hears(time.monotonic() + 20):
            pass
        os.close(self.terminal)
        return self.process.wait(20)


class Transcript:
    """All that the terminal showed, without what differs from one machine to the next."""

    def __init__(self, t):
        self.home, self.text = str(t.dir), ""

    def add(self, command, shown):
        self.text += f"$ {command}\n{shown.replace(chr(13), '')}"

    def keep(self, name, user="alice"):
        text = self.text.replace(self.home, "/home/alice").replace(user, "alice")
        (RUN / "log" / f"newcomer-{name}.txt").write_text(text)
        return text


@contextmanager
def relay(t, **env):
    """`hallpass` in another window of the terminal."""
    log = t.dir / "hallpass.log"
    with log.open("wb") as out:
        process = subprocess.Popen([HALLPASS], cwd=t.dir, env=t.env(**env), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        wait_for("the relay to listen", lambda: "listening on" in log.read_text())
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def pasted(shown):
    """What the lines that `config init` ends with put into the environment."""
    lines = [line for line in shown.replace("\r", "").splitlines() if line.startswith("export ")]
    equal(len(lines), 2, f"lines to paste in {shown}")
    return dict(word.split("=", 1) for line in lines for word in line.split()[1:]), lines


def journey(t, name, answers, scheme, **env):
    """Sets up with these answers and asks Claude; the record of it."""
    began = time.monotonic()
    before = len(origin_log("api.anthropic.com"))
    script = Transcript(t)
    env = {"XDG_RUNTIME_DIR": str(t.dir), **env}
    person = Person(t, HALLPASS, "config", "init", **env)
    for question, text in answers:
        person.answer(question, text)
    person.sees("# written: ")
    code = person.leaves()
    equal(code, 0, f"the exit code of config init: {person.shown}")
    assert f"({scheme})." in person.shown, person.shown
    script.add("hallpass config init", person.shown)
    variables, lines = pasted(person.shown)
    with relay(t, **env):
        script.add("hallpass &", "")
        for line in lines:
            script.add(line, "")
        out = t.run(NPM / ".bin" / "claude", "-p", "hi", stdin="", seconds=120,
                    **{**env, **variables, "ANTHROPIC_API_KEY": "test", "NODE_EXTRA_CA_CERTS": str(CA_FILE)})
        script.add("claude -p hi", out)
    took = time.monotonic() - began
    assert "hello from the stub" in out, out
    asked = [line["path"] for line in origin_log("api.anthropic.com")[before:] if line["path"].startswith("/v1/messages")]
    assert asked, "no prompt reached the origin"
    assert took < MINUTE, f"{took:.0f} s"
    assert person.answers <= MOST_ANSWERS, person.answers
    t.notes.append(f"{person.answers} answers, {took:.1f} s from the binary to the answer")
    mode = (t.dir / ".config/hallpass/hallpass.toml").stat().st_mode & 0o777
    equal(mode, 0o600, "the file's mode")
    return script.keep(name)


def as_recorded(heading, shown):
    """The document shows what the terminal showed: what differs is changed in the one or the other by hand."""
    found = re.search(rf"^## {heading}\n.*?^```\n(.*?)^```$", RECORD.read_text(), re.M | re.S)
    assert found, f"{RECORD.name} has no heading {heading!r} with a block"
    equal(shown, found[1], f"what the terminal showed, and what {RECORD.name} says")


@test("a newcomer behind an NTLM proxy types three answers and has Claude answer within a minute, as docs/newcomer.md shows it", alone=True)
def ntlm(t):
    password = ACCOUNTS["alice"]
    answers = [("PAC script: ", SQUIDS["ntlm"].url.removeprefix("http://")), ("user): ", "CORP\\alice"), ("Password of ", password)]
    with desktop(t) as session:
        shown = journey(t, "ntlm", answers, "NTLM", **session)
        assert password not in shown, shown
        assert "is stored in the desktop's key ring" in shown, shown
        t.run(HALLPASS, "logout", **session)
    as_recorded("A proxy that wants user and password", shown)


@test("a newcomer with a Kerberos ticket types one answer and has Claude answer within a minute, as docs/newcomer.md shows it", alone=True)
def ticket(t):
    t.kinit()
    answers = [("PAC script: ", SQUIDS["negotiate"].url.removeprefix("http://"))]
    shown = journey(t, "ticket", answers, "Negotiate")
    as_recorded("A proxy that takes the ticket of the log-in", shown)


@test("a newcomer who mistypes the password costs the account one bad logon, is told, and gets there with six answers")
def mistyped(t):
    user = "wrong-newcomer"
    unlock(user)
    script = Transcript(t)
    person = Person(t, HALLPASS, "config", "init", XDG_RUNTIME_DIR=str(t.dir))
    try:
        person.answer("PAC script: ", SQUIDS["ntlm"].url.removeprefix("http://"))
        person.answer("user): ", f"CORP\\{user}")
        person.answer("Password of ", "mistyped")
        person.sees("Try once more")
        equal(bad_logons(user), 1, "bad logons after the mistyped password")
        person.answer("[y/N]: ", "y")
        person.answer("]: ", "")
        person.answer("Password of ", ACCOUNTS[user])
        person.sees("# written: ")
        equal(person.leaves(), 0, "the exit code")
    finally:
        t.run(HALLPASS, "logout", "--no-config", f"CORP\\{user}")
    equal(person.answers, MOST_ANSWERS, "answers")
    equal(bad_logons(user), 0, "bad logons after the right one")
    script.add("hallpass config init", person.shown)
    as_recorded("A password that is mistyped", script.keep("mistyped", user))
