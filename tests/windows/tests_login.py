"""Logging on from Windows, whose a client is, and what the registry says about proxies."""
import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

from windows_run import ENVIRONMENT, EXE, HERE, POLICY, PREFIX, ROOT, SETTINGS, TARGET, WINE, equal, test, wait_for, wine

PRACTICE = TARGET / "debug" / "examples" / "practice"
USER, PASSWORD = "CORP\\alice", "Grüße-Pässwörd-1"
STRANGER = "S-1-5-19"
HELLO = "hello from the practice origin"


class Practice:
    """The corporate proxy to practise on, which knows one account."""

    def __init__(self, password=PASSWORD):
        self.process = subprocess.Popen([PRACTICE, USER], env={**os.environ, "PRACTICE_PASSWORD": password},
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def logons(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        counts = json.loads(self.process.stdout.readline())
        return counts["accepted"], counts["rejected"]

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)


class Office:
    """A directory, a practice proxy, and relays under Wine, none of which remembers anything of an earlier test."""

    def __init__(self, directory):
        self.directory, self.running, self.exe = directory, [], EXE
        self.local = next((PREFIX / "drive_c" / "users").glob("*/AppData/Local"))
        self.forget()
        self.practice = Practice()

    def forget(self):
        for left in ("lockout.json", "run"):
            for path in (self.local / "hallpass").glob(f"**/{left}"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def relay(self, *flags, config=None, **variables):
        """Its port, once it listens."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        named = ("--no-config",)
        if config is not None:
            file = self.directory / f"relay-{len(self.running)}.toml"
            file.write_text(config, encoding="utf-8")
            named = ("--config", windows_path(file))
        self.log = self.directory / f"relay-{len(self.running)}.log"
        environment = {**ENVIRONMENT, "HALLPASS_UPSTREAM": self.practice.url, **variables}
        with self.log.open("wb") as out:
            process = subprocess.Popen([WINE, self.exe, "serve", *named, "--listen", f"127.0.0.1:{port}", "--log", "debug", *flags],
                                       env={name: value for name, value in environment.items() if value is not None},
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.running.append(process)

        def answers():
            assert process.poll() is None, self.said()
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0
        wait_for("the relay", answers)
        return port

    def said(self):
        return self.log.read_text(errors="replace")

    def records(self):
        lines = [line for line in self.said().splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]

    def stop(self):
        process = self.running.pop()
        process.terminate()
        process.wait(10)

    def end(self):
        while self.running:
            self.stop()
        self.practice.end()


def windows_path(file):
    return "Z:" + str(file).replace("/", "\\")


def asked(port, request):
    """The answer, whole."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(request.encode())
        pieces = []
        while piece := client.recv(65536):
            pieces.append(piece)
    return b"".join(pieces).decode(errors="replace")


def get(port):
    return asked(port, "GET http://hello.practice/hello HTTP/1.1\r\nHost: hello.practice\r\nConnection: close\r\n\r\n")


def tunnelled(port):
    """What the origin says through a tunnel, or the refusal of the tunnel."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"CONNECT hello.practice:80 HTTP/1.1\r\nHost: hello.practice:80\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(65536)
            assert piece, f"closed after {head!r}"
            head += piece
        if b" 200 " not in head.split(b"\r\n")[0]:
            return head.decode(errors="replace")
        client.sendall(b"GET /hello HTTP/1.1\r\nHost: hello.practice\r\nConnection: close\r\n\r\n")
        pieces = []
        while piece := client.recv(65536):
            pieces.append(piece)
    return b"".join(pieces).decode(errors="replace")


def typed(*command, line):
    """A command that reads one line."""
    done = subprocess.run([WINE, *map(str, command)], env=ENVIRONMENT, input=(line + "\n").encode(), capture_output=True, timeout=60)
    text = (done.stdout + done.stderr).decode(errors="replace").replace("\r\n", "\n")
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{text}"
    return text


# ---- logging on ----------------------------------------------------------------------------------------------------

def logs_on_both_ways(office, port):
    """By a tunnel and a forward, with NTLM and nothing refused."""
    for answer in (tunnelled(port), get(port)):
        assert HELLO in answer, (answer, office.said())
    accepted, rejected = office.practice.logons()
    assert accepted >= 2 and rejected == 0, (accepted, rejected)
    records = wait_for("both records", lambda: office.records()[1:] and office.records())
    equal([record.get("scheme") for record in records], ["NTLM", "NTLM"], "the records")


@test("the exe tunnels and forwards with NTLM for a named account whose password is in a variable", fixture=Office)
def named(office):
    port = office.relay(HALLPASS_USER=USER, HALLPASS_PASSWORD=PASSWORD)
    logs_on_both_ways(office, port)


@test("login puts a password into the Credential Manager, where the relay finds it, and logout takes it out", fixture=Office)
def credential_manager(office):
    wine(EXE, "logout", "--no-config", USER, check=False)
    said = typed(EXE, "login", "--no-config", "--password-stdin", USER, line=PASSWORD)
    assert "is stored in the Windows Credential Manager" in said and PASSWORD not in said, said
    # In another process: what was stored outlives the one that stored it.
    port = office.relay(HALLPASS_USER=USER)
    answer = tunnelled(port)
    assert HELLO in answer, (answer, office.said())
    equal(office.practice.logons(), (1, 0), "logons")
    office.stop()
    said = wine(EXE, "logout", "--no-config", USER)[1]
    assert "Credential Manager" in said, said
    port = office.relay(HALLPASS_USER=USER)
    answer = get(port)
    assert " 407 " in answer.splitlines()[0] and "no password" in answer, answer
    equal(office.practice.logons(), (1, 0), "logons without a password")


def logged_in(password=PASSWORD):
    return {"PATH": f"{HERE}:{os.environ['PATH']}", "TEST_LOGGED_IN": USER, "TEST_LOGGED_IN_PASSWORD": password}


@test("without a user the relay logs on with NTLM as whoever is logged in, whose password it never sees", fixture=Office)
def whoever_is_logged_in(office):
    port = office.relay(**logged_in())
    logs_on_both_ways(office, port)


@test("the secret of whoever is logged in, once rejected, is not shown again: not to the next request, not after a restart", fixture=Office)
def rejected_once(office):
    port = office.relay(**logged_in("another password"))
    answer = tunnelled(port)
    assert answer.startswith("HTTP/1.1 407"), answer
    equal(office.practice.logons(), (0, 1), "logons")
    for _ in range(3):
        answer = get(port)
        assert "not sent again" in answer, answer
    office.stop()
    answer = get(office.relay(**logged_in("another password")))
    assert "not sent again" in answer, answer
    equal(office.practice.logons(), (0, 1), "logons in the end")


@test("without a user and a log-on that works beyond this machine, what is missing is said and nothing is sent", fixture=Office)
def nobody(office):
    # Wine's NTLM has no password of its own: it makes a first message, and none that proves anything.
    answer = get(office.relay())
    assert answer.startswith("HTTP/1.1 407") and "NTLM of Windows" in answer, answer
    equal(office.practice.logons(), (0, 0), "logons")


@test("a configuration for whoever is logged in is handed out once a proxy has accepted them, and the report says whether one has", fixture=Office)
def handed_out(office):
    file = office.directory / "fleet.toml"
    file.write_text(f'[upstreams.office]\nurl = "{office.practice.url}"\n')
    export = lambda *more: wine(EXE, "config", "export", "--format", "txt", "--config", windows_path(file), *more, check=False)
    report = lambda: wine(EXE, "config", "show", "--config", windows_path(file))[1]
    code, said = export()
    assert code == 1 and "no proxy is known to have accepted the credential logged-in: hallpass config check --try" in said, said
    code, said = export("--untried")
    assert code == 0 and office.practice.url in said, said
    assert "# credential logged-in: whoever is logged in; no secret; never tried\n" in report(), report()
    answer = tunnelled(office.relay(**logged_in()))
    assert HELLO in answer, (answer, office.said())
    wait_for("the record", lambda: export()[0] == 0)
    assert "; accepted by a proxy\n" in report(), report()


# ---- whose a client is ---------------------------------------------------------------------------------------------

def with_times(office):
    """A program whose connections have a time, which Wine does not tell and without which nobody is told from who had his number before."""
    wines = Path("/usr/lib/x86_64-linux-gnu/wine/x86_64-windows/iphlpapi.dll").read_bytes()
    # What says so is looked for under its own name.
    (office.directory / "iphlpwine.dll").write_bytes(wines.replace(b"Wine builtin DLL", b"Wine copied  DLL", 1))
    listed = subprocess.run(["x86_64-w64-mingw32-objdump", "-p", office.directory / "iphlpwine.dll"], check=True, capture_output=True, text=True).stdout
    names = re.findall(r"(?m)^\t\[ *\d+\] (?:\+base\[ *\d+\] +[0-9a-f]+ )?(\w+)$", listed)
    assert "GetExtendedTcpTable" in names and "GetAdaptersAddresses" in names, listed
    passed_on = [f"{name} = iphlpwine.{name}" for name in names if name != "GetExtendedTcpTable"]
    (office.directory / "iphlpapi.def").write_text("\n".join(["LIBRARY iphlpapi.dll", "EXPORTS", "GetExtendedTcpTable", *passed_on]) + "\n")
    subprocess.run(["x86_64-w64-mingw32-gcc", "-shared", "-O2", "-s", "-o", office.directory / "iphlpapi.dll", HERE / "iphlpapi.c",
                    office.directory / "iphlpapi.def"], check=True)
    office.exe = office.directory / "hallpass.exe"
    os.link(EXE, office.exe)
    return {"HALLPASS_USER": USER, "HALLPASS_PASSWORD": PASSWORD, "WINEDLLOVERRIDES": ENVIRONMENT["WINEDLLOVERRIDES"] + ";iphlpapi=n"}


def client_of(office):
    """A program of Windows that asks a relay."""
    client = office.directory / "client.exe"
    subprocess.run(["x86_64-w64-mingw32-gcc", "-O2", "-s", "-o", client, HERE / "client.c", "-lws2_32"], check=True)
    return lambda port: wine(client, port, "http://hello.practice/hello")


@test("a client of the relay's own user is served, one of another is refused by its identifier, and one that is nobody's too", fixture=Office)
def owners(office):
    client, account = client_of(office), with_times(office)
    port = office.relay(**account, HALLPASS_ACCESS_USERS="self")
    code, answer = client(port)
    assert code == 0 and HELLO in answer, (answer, office.said())
    own = wait_for("the record", office.records)[-1]["sid"]
    assert own.startswith("S-1-5-21-"), own
    # Of programs that are not its own, Wine knows no process: nobody's name is no leave.
    answer = get(port)
    assert answer.startswith("HTTP/1.1 403") and "whose connection this was cannot be told" in answer, answer
    office.stop()
    port = office.relay(**account, HALLPASS_ACCESS_USERS=STRANGER)
    code, answer = client(port)
    assert answer.startswith("HTTP/1.1 403") and f"user {own} of this machine may not use this relay" in answer, answer
    record = wait_for("the record", office.records)[-1]
    equal((record["end"], record["sid"]), ("peer_denied", own), "the record")
    office.stop()
    # The first relay may have been ended before it had written what became of its log-on: the account would have to wait.
    office.forget()
    name = wine("cmd", "/c", "whoami")[1].strip()
    port = office.relay(**account, HALLPASS_ACCESS_USERS=name)
    code, answer = client(port)
    assert code == 0 and HELLO in answer, (name, answer, office.said())


@test("a client whose process is younger than its connection is nobody's, and one whose connection has no time may be anybody's: neither is served", fixture=Office)
def undated(office):
    client = client_of(office)
    port = office.relay(HALLPASS_USER=USER, HALLPASS_PASSWORD=PASSWORD, HALLPASS_ACCESS_USERS="self")
    assert "so all clients of this machine are refused" in office.said(), office.said()
    _, answer = client(port)
    assert answer.startswith("HTTP/1.1 403") and "does not say when" in answer, answer
    office.stop()
    port = office.relay(**with_times(office), HALLPASS_ACCESS_USERS="self", TEST_CONNECTIONS="inherited")
    _, answer = client(port)
    assert answer.startswith("HTTP/1.1 403") and "began after the connection was made" in answer, answer


@test("users that Windows does not know, and groups, are mistakes that are said", fixture=Office)
def no_users(office):
    for name in ("nobody-has-this-name", "S-1-x", "4711", "Everyone", "INTERACTIVE", "Administrators"):
        file = office.directory / "hallpass.toml"
        file.write_text(f"[access]\nusers = ['{name}']\n")
        environment = {variable: value for variable, value in ENVIRONMENT.items() if variable != "HALLPASS_ACCESS_USERS"}
        done = subprocess.run([WINE, EXE, "config", "check", "--config", windows_path(file)], env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        code, said = done.returncode, done.stdout + done.stderr
        assert code != 0 and f'there is no user "{name}"' in said and "whoami" in said, said


@test("other commands find a relay on another port by its run file, which a killed one leaves and the next one sweeps", fixture=Office)
def found(office):
    port = office.relay(HALLPASS_USER=USER, HALLPASS_PASSWORD=PASSWORD)
    directory = office.local / "hallpass" / "run"
    files = lambda: [json.loads(path.read_text()) for path in directory.glob("*.json")]
    first = wait_for("the run file", files)[0]
    equal(first["listen"], [f"127.0.0.1:{port}"], "the run file")
    said = wine(EXE, "status", "--no-config")[1]
    assert f"127.0.0.1:{port}" in said, said
    wine("taskkill", "/F", "/PID", first["pid"])
    office.running.pop().wait(20)
    equal(files(), [first], "what a killed relay leaves")
    office.relay(HALLPASS_USER=USER, HALLPASS_PASSWORD=PASSWORD)
    wait_for("the sweep", lambda: files() and all(file["pid"] != first["pid"] or file["listen"] != first["listen"] for file in files()))


# ---- the registry --------------------------------------------------------------------------------------------------

DATA = ROOT / "tests" / "data" / "system_proxy"
BOTH = "windows-winhttp.reg", "windows-manual.reg"

# The files that are imported one after the other, the target, the hops, and who is named as the reason.
PRECEDENCE = [
    ((), "x.example", ["direct"], "no upstream"),
    (("windows-manual.reg",), "x.example", ["http://proxy.corp.example:8080"], "Internet settings"),
    (("windows-manual.reg",), "a.corp.example", ["direct"], "no_proxy"),
    (("windows-winhttp.reg",), "x.example", ["http://services.corp.example:8080"], "WinHTTP"),
    # What people set comes before what `netsh winhttp` set for services.
    (BOTH, "x.example", ["http://proxy.corp.example:8080"], "Internet settings"),
    # Of the machine's settings only what a policy makes everybody's counts.
    (("windows-machine.reg",), "x.example", ["http://machine.corp.example:3128"], "Internet settings"),
    (("windows-machine.reg", "-policy"), "x.example", ["http://mine.example:1"], "Internet settings"),
    (("windows-machine.reg", *BOTH), "x.example", ["http://machine.corp.example:3128"], "Internet settings"),
]


def registry(files):
    wine("reg", "import", windows_path(HERE / "nothing.reg"))
    for file in files:
        if file == "-policy":
            wine("reg", "delete", POLICY, "/f")
        else:
            wine("reg", "import", windows_path(DATA / file))


def explained(target, **variables):
    environment = {**ENVIRONMENT, **variables}
    done = subprocess.run([WINE, EXE, "explain", "--json", "--no-config", f"http://{target}/"], env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=60)
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, (done.returncode, said)
    return json.loads(next(line for line in said.splitlines() if line.startswith("{")))


@test("what the registry says about proxies counts in Windows' own order, and a script that is named before a server", fixture=Office)
def precedence(office):
    try:
        for files, target, hops, reason in PRECEDENCE:
            registry(files)
            found = explained(target)
            equal(found["hops"], hops, files)
            assert reason in found["reason"]["text"], (files, found)
        # Variables are what somebody set for this program alone.
        registry(("windows-manual.reg",))
        equal(explained("x.example", HALLPASS_UPSTREAM="http://named.example:1")["hops"], ["http://named.example:1"], "a configured upstream")
        script = office.directory / "proxy.pac"
        script.write_text('function FindProxyForURL(url, host) { return "PROXY scripted.example:81"; }')
        wine("reg", "add", SETTINGS, "/v", "AutoConfigURL", "/t", "REG_SZ", "/d", "file:///" + windows_path(script).replace("\\", "/"), "/f")
        equal(explained("x.example")["hops"], ["http://scripted.example:81"], "a script beside a server")
    finally:
        registry(())


@test("a relay that runs goes by what is written to the registry within seconds: a server, another one, a policy that appears, and none", fixture=Office)
def follows_the_registry(office):
    def ways():
        """No request is made: one that fails is cause to look as well."""
        page = asked(port, "GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").partition("\r\n\r\n")[2]
        return json.loads(page)

    def named(what, where):
        begun = time.monotonic()
        wait_for(what, lambda: where in str(ways()), 20)
        print(f"      {what}: after {time.monotonic() - begun:.1f} s")
    nobody = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    first, second, machines = (f"127.0.0.1:{one.getsockname()[1]}" for one in nobody)
    for one in nobody:
        one.close()
    add = lambda key, name, value, kind="REG_SZ": wine("reg", "add", key, "/v", name, "/t", kind, "/d", value, "/f")
    try:
        registry(())
        port = office.relay(HALLPASS_UPSTREAM=None, HALLPASS_CONNECT_TIMEOUT="1s")
        equal((ways()["system"], ways()["upstreams"]), (None, []), "an empty registry")
        add(SETTINGS, "ProxyServer", first)
        add(SETTINGS, "ProxyEnable", "1", "REG_DWORD")
        named("a server", first)
        add(SETTINGS, "ProxyServer", second)
        named("another server", second)
        script = office.directory / "proxy.pac"
        script.write_text(f'function FindProxyForURL(url, host) {{ return "PROXY {first}"; }}')
        add(SETTINGS, "AutoConfigURL", "file:///" + windows_path(script).replace("\\", "/"))
        named("a script", "proxy.pac")
        add(SETTINGS.replace("HKCU", "HKLM"), "ProxyServer", machines)
        add(SETTINGS.replace("HKCU", "HKLM"), "ProxyEnable", "1", "REG_DWORD")
        wine("reg", "delete", POLICY, "/f", check=False)
        add(POLICY, "ProxySettingsPerUser", "0", "REG_DWORD")
        named("a policy", machines)
        wine("reg", "delete", POLICY, "/f")
        named("no policy", "proxy.pac")
        # With all that is above it, as when the last policy of a machine goes.
        wine("reg", "delete", POLICY.rpartition("\\")[0], "/f")
        add(POLICY, "ProxySettingsPerUser", "0", "REG_DWORD")
        named("a policy that is back", machines)
        wine("reg", "delete", POLICY.rpartition("\\")[0], "/f")
        named("no policy again", "proxy.pac")
        wine("reg", "delete", SETTINGS, "/v", "AutoConfigURL", "/f")
        named("a server again", second)
        add(SETTINGS, "ProxyEnable", "0", "REG_DWORD")
        wait_for("none", lambda: not ways()["system"] and not ways()["upstreams"], 20)
    finally:
        registry(())
