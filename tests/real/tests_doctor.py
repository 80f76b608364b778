"""What doctor says where one thing is wrong in a real domain: the right cause first, and no account at risk."""
import contextlib
import http.server
import json
import socket
import subprocess
import threading
from glob import glob

from harness import CA_FILE, HALLPASS, Relay, bad_logons, equal, squid_log, test, unlock, wait_for
from layout import ACCOUNTS, SPN

WRONG = "not this one"
ALICE = {"user": "alice@CORP.TEST", "password": ACCOUNTS["alice"]}
PROXY = {"negotiate": "http://proxy.corp.test:3124", "combo": "http://proxy.corp.test:3125", "ntlm": "http://proxy.corp.test:3123"}


class Doctor(Relay):
    """The configuration of a relay, looked at and never run."""

    def launch(self, test, toml, **_):
        self.test = test
        (self.dir / "hallpass.toml").write_text(toml)
        (self.dir / "hallpass.toml").chmod(0o600)

    def stop(self):
        pass

    def examine(self, *arguments, trusting=True, **env):
        trust = {"SSL_CERT_FILE": str(CA_FILE)} if trusting else {}
        done = subprocess.run([HALLPASS, "doctor", "--json", "--config", self.dir / "hallpass.toml", *arguments], cwd=self.dir,
                              capture_output=True, text=True, timeout=60,
                              env=self.test.env(XDG_STATE_HOME=str(self.dir / "state"), **trust, **env))
        self.log = self.dir / "log"   # shown where the test fails
        self.log.write_text(done.stdout + done.stderr)
        return Report(json.loads(done.stdout), done.returncode)


class Report:
    def __init__(self, report, code):
        self.report, self.code = report, code
        self.checks = {check["name"]: check for check in report["checks"]}

    def caused(self, name, *words):
        """That this check is the cause, and says these words."""
        text = json.dumps(self.report, indent=1, ensure_ascii=False)
        assert self.code == 1 and self.report["cause"] and self.report["cause"]["name"] == name, text
        said = f"{self.report['cause']['says']}; {self.report['cause']['advice']}"
        missing = [word for word in words if word not in said]
        assert not missing, f"{missing} are not in {said!r}"
        return said

    def healthy(self):
        assert self.code == 0 and self.report["cause"] is None, json.dumps(self.report, indent=1, ensure_ascii=False)

    def says(self, name, *words):
        check = self.checks[name]
        missing = [word for word in words if word not in check["says"]]
        assert not missing, f"{missing} are not in {check}"


def doctor(t, *kinds, **options):
    found = Doctor(t, kinds, **options)
    t.relays.append(found)
    return found


@contextlib.contextmanager
def script_server(status, text):
    """Somebody who answers every request for a script so."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/proxy.pac"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def black_hole():
    """A port whose queue is full: the kernel swallows what comes, as a firewall does."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=0)
    queue = []
    with contextlib.suppress(TimeoutError):
        while True:
            queue.append(socket.create_connection(listening.getsockname(), timeout=0.3))
    try:
        yield listening.getsockname()[1]
    finally:
        for connection in [*queue, listening]:
            connection.close()


# ---- nothing is wrong ----------------------------------------------------------------------------------------------

@test("doctor finds nothing wrong where a ticket leads through")
def healthy_by_ticket(t):
    t.kinit()
    report = doctor(t, "combo").examine(f"https://{t.site}/")
    report.healthy()
    report.says("kerberos proxy.corp.test:3125", "ticket of alice@CORP.TEST for ", SPN, "127.0.0.1:88", "0 s apart")
    report.says(f"credential {PROXY['combo']}", "the logged-in identity by Negotiate")
    t.notes.append(f"{len(report.checks)} checks in {report.report['millis']} ms")


@test("doctor finds nothing wrong where a password leads through {}", each=["negotiate", "ntlm"])
def healthy_by_password(t, kind):
    before = bad_logons("carol")
    report = doctor(t, kind, user="carol@CORP.TEST", password=ACCOUNTS["carol"]).examine(f"https://{t.site}/", f"http://{t.site}/hello")
    report.healthy()
    scheme = "Negotiate" if kind == "negotiate" else "NTLM"
    report.says(f"credential {PROXY[kind]}", f"carol@CORP.TEST by {scheme}")
    equal(bad_logons("carol"), before, "bad logons")


# ---- one thing is wrong --------------------------------------------------------------------------------------------

@test("doctor names a wrong password at {}, and asks the directory once however often it runs", each=["ntlm", "combo"])
def wrong_password(t, kind):
    account = f"doctor-{kind}"
    unlock(account)
    user = f"CORP\\{account}" if kind == "ntlm" else f"{account}@CORP.TEST"
    patient = doctor(t, kind, user=user, password=WRONG)
    target = f"https://{t.site}/"
    words = ["refused"] if kind == "ntlm" else ["password", "is wrong"]
    patient.examine(target).caused(f"credential {PROXY[kind]}", account, "hallpass login", *words)
    equal(bad_logons(account), 1, "bad logons")
    report = patient.examine(target)
    report.caused(f"credential {PROXY[kind]}", "refused before", "status --retry")
    equal(report.checks[f"target {t.site}:443"]["because"], f"credential {PROXY[kind]}", "why the target is not reached")
    equal(bad_logons(account), 1, "bad logons after doctor ran again")


@test("doctor names an account that is locked")
def locked(t):
    account = "doctor-locked"
    unlock(account)
    for _ in range(3):
        t.run("kinit", f"{account}@CORP.TEST", stdin=WRONG + "\n", check=False)
    said = doctor(t, "combo", user=f"{account}@CORP.TEST", password=ACCOUNTS[account]).examine(f"https://{t.site}/")
    said.caused(f"credential {PROXY['combo']}", account, "locked or disabled", "unlocked")
    unlock(account)


@test("doctor names a user whom the directory does not know, by {}", each=["combo", "ntlm"])
def unknown_user(t, kind):
    user = "nobody@CORP.TEST" if kind == "combo" else "CORP\\nobody"
    report = doctor(t, kind, user=user, password=WRONG).examine(f"https://{t.site}/")
    if kind == "combo":
        report.caused("kerberos proxy.corp.test:3125", "does not know the user nobody@CORP.TEST", "KDC_ERR_C_PRINCIPAL_UNKNOWN")
        equal(report.checks[f"credential {PROXY[kind]}"]["state"], "skipped", "the log-in that could only be refused")
        equal([entry for entry in squid_log(kind, t.site) if entry.scheme != "none"], [], "log-ons")
    else:
        report.caused(f"credential {PROXY[kind]}", "refused CORP\\nobody", "unknown")


@test("doctor names a user who is not configured")
def missing_user(t):
    doctor(t, "ntlm").examine(f"https://{t.site}/").caused(f"credential {PROXY['ntlm']}", "no user is configured", "user = ")


@test("doctor names a ticket that is not there")
def no_ticket(t):
    report = doctor(t, "negotiate").examine(f"https://{t.site}/")
    report.caused("kerberos proxy.corp.test:3124", "no Kerberos ticket", "kinit")
    equal(report.checks[f"target {t.site}:443"]["because"], "kerberos proxy.corp.test:3124", "why the target is not reached")


@test("doctor names a ticket that has expired")
def expired_ticket(t):
    t.kinit("alice", "-S", SPN, "-l", "3s")
    wait_for("the ticket's end", lambda: not t.has_ticket())
    patient = doctor(t, "negotiate")
    # One may say that it has expired in the second in which it does, another one in the next.
    report = wait_for("a refusal", lambda: (report := patient.examine(f"https://{t.site}/")).code and report)
    report.caused("kerberos proxy.corp.test:3124", "the Kerberos ticket has expired", "kinit")


@test("doctor names a clock that is {} s off, and shows nobody a password", each=["+600", "-600"])
def clock_skew(t, offset):
    library = glob("/usr/lib/*/faketime/libfaketime.so.1")[0]
    before = bad_logons("alice")
    patient = doctor(t, "negotiate", **ALICE)
    # Its clock of durations goes on as it is: time-outs are what they are.
    report = patient.examine(f"https://{t.site}/", LD_PRELOAD=library, FAKETIME=offset, FAKETIME_DONT_FAKE_MONOTONIC="1")
    said = report.caused("kerberos proxy.corp.test:3124", "ahead of" if offset == "+600" else "behind", "KRB_AP_ERR_SKEW", "set the clock")
    assert any(f"{seconds} s" in said for seconds in (599, 600, 601)), said
    equal(report.checks[f"credential {PROXY['negotiate']}"]["state"], "skipped", "the log-in")
    equal(bad_logons("alice"), before, "bad logons")


@test("doctor names a service that the directory does not know, by {}", each=["ticket", "password"])
def wrong_spn(t, way):
    identity = ALICE if way == "password" else {}
    if way == "ticket":
        t.kinit()
    report = doctor(t, "negotiate", upstream={"spn": "HTTP/nowhere.corp.test"}, **identity).examine(f"https://{t.site}/")
    name = "kerberos proxy.corp.test:3124" if way == "ticket" else f"credential {PROXY['negotiate']}"
    report.caused(name, "does not know the service HTTP/nowhere.corp.test", "spn")


@test("doctor names a proxy that is down, and one whose packets are swallowed")
def unreachable(t):
    with socket.create_server(("127.0.0.31", 0)) as free:
        down = free.getsockname()[1]
    url = f"http://proxy.corp.test:{down}"
    doctor(t, "none", upstream={"url": url}).examine(f"https://{t.site}/").caused(f"upstream {url}", "nobody listens", "down")
    with black_hole() as port:
        url = f"http://127.0.0.1:{port}"
        report = doctor(t, "none", upstream={"url": url}, keys='connect_timeout = "1s"\n').examine(f"https://{t.site}/")
        report.caused(f"upstream {url}", "no connection within 1 s", "swallowed")
    t.notes.append(f"black hole: named after {report.report['millis']} ms")


@test("doctor names a PAC script that is not there, and one that is no script")
def pac(t):
    for status, text, words in ((404, "gone", "404"), (200, "function FindProxyForURL(url, host) {", "cannot be used")):
        with script_server(status, text) as url:
            report = doctor(t).examine(f"https://{t.site}/", "--pac", url)
            report.caused("pac", url, words)
            equal(report.checks[f"target {t.site}:443"]["because"], "pac", "why the target is not reached")


@test("doctor names an authority that the system does not know, though its certificate is not shown")
def unknown_authority(t):
    report = doctor(t, "none").examine(f"https://{t.site}/", trusting=False)
    said = report.caused(f"certificate {t.site}:443", "does not know", "inspected")
    equal(report.checks[f"target {t.site}:443"]["state"], "ok", "the target itself")
    assert "ask for it" in report.checks[f"certificate {t.site}:443"]["details"][0], said


@test("doctor names the authority of a proxy that reads TLS, and Node trusts the proxy by what doctor wrote")
def inspecting(t):
    with inspecting_squid(t) as url:
        patient = doctor(t, "none", upstream={"url": url})
        report = patient.examine(f"https://{t.site}/hello", "--ca-out", t.dir / "seen.pem", trusting=False)
        report.caused(f"certificate {t.site}:443", "signed by Corp Inspection CA", "does not know", "inspected")
        equal(report.checks[f"certificate {t.site}:443"]["details"], [f"NODE_EXTRA_CA_CERTS={t.dir}/seen.pem"], "the line")
        relay = t.relay("none", upstream={"url": url})
        script = "fetch(process.argv[1]).then(answer => console.log(answer.status), error => console.log(error.cause.code))"
        def node(**env):
            return t.run("node", "-e", script, f"https://{t.site}/hello", HTTPS_PROXY=relay.url, NODE_USE_ENV_PROXY="1", **env)
        equal(node().split()[-1], "SELF_SIGNED_CERT_IN_CHAIN", "Node's view before")
        equal(node(NODE_EXTRA_CA_CERTS=str(t.dir / "seen.pem")).split()[-1], "200", "Node's view with the line")


@contextlib.contextmanager
def inspecting_squid(t):
    """A Squid that signs what a target shows anew, by an authority of its own."""
    home = t.dir / "inspecting"
    home.mkdir()
    t.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/O=Corp/CN=Corp Inspection CA",
          "-keyout", home / "ca.key", "-out", home / "ca.pem", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    with socket.create_server(("127.0.0.31", 0)) as free:
        port = free.getsockname()[1]
    certgen = "/usr/lib/squid/security_file_certgen"
    t.run(certgen, "-c", "-s", home / "certificates", "-M", "4MB")
    (home / "squid.conf").write_text(f"""http_port 127.0.0.31:{port} ssl-bump generate-host-certificates=on tls-cert={home}/ca.pem tls-key={home}/ca.key
sslcrtd_program {certgen} -s {home}/certificates -M 4MB
sslcrtd_children 1 startup=1 idle=1
tls_outgoing_options cafile={CA_FILE}
acl step1 at_step SslBump1
ssl_bump peek step1
ssl_bump bump all
http_access allow all
cache deny all
cache_log {home}/cache.log
access_log none
pid_filename none
coredump_dir {home}
pinger_enable off
shutdown_lifetime 0 seconds
hosts_file /etc/hosts
cache_effective_user proxy
""")
    t.run("chown", "-R", "proxy", home)   # Squid does not run as root
    squid = subprocess.Popen(["squid", "-N", "-n", f"inspecting{t.number}", "-f", home / "squid.conf"], cwd=home, env=t.env())
    try:
        wait_for("the inspecting Squid", lambda: listens(port))
        yield f"http://127.0.0.31:{port}"
    finally:
        squid.terminate()
        squid.wait()


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.31", port), timeout=1):
        return True
    return False


@test("doctor names the proxy that denies a host")
def denied(t):
    report = doctor(t, "ntlm", **{**ALICE, "user": "CORP\\alice"}).examine("https://blocked.test/", f"https://{t.site}/")
    report.caused("target blocked.test:443", PROXY["ntlm"], "403", "ERROR: The requested URL could not be retrieved", "allow blocked.test:443")
    equal(report.checks[f"target {t.site}:443"]["state"], "ok", "another target")
