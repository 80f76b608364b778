"""Who one is: every kind of proxy, every way to name a user, tickets, wrong passwords."""
import threading

from harness import bad_logons, equal, passed, random_file, schemes_tried, squid_log, test, unlock, wait_for
from layout import ACCOUNTS, SPN

# A machine that belongs to no domain: a password is then no ticket.

# Each kind of Squid: how the relay is set up, and the scheme its log must then show.
KINDS = {
    "none": ({}, "none"),
    "basic": ({"user": "alice", "schemes": ["basic"]}, "Basic"),
    "digest": ({"user": "alice"}, "Digest"),
    "ntlm": ({"user": "CORP\\alice"}, "NTLM"),
    "ntlmclose": ({"user": "CORP\\alice"}, "NTLM"),
    "tls": ({"user": "CORP\\alice"}, "NTLM"),
    "wraponly": ({"user": "CORP\\alice"}, "NTLM in Negotiate"),
    "negotiate": ({"ticket": "alice"}, "Kerberos"),
    "wrap": ({"ticket": "alice"}, "Kerberos"),
    "combo": ({"ticket": "alice"}, "Kerberos"),
}


def relay_for(t, kind):
    options = dict(KINDS[kind][0])
    if "ticket" in options:
        t.kinit(options.pop("ticket"))
    elif options.get("user"):
        options["password"] = ACCOUNTS[options["user"].removeprefix("CORP\\")]
    return t.relay(kind, **options)


@test("curl GET, POST and CONNECT pass through Squid {}, and its log shows the scheme", each=KINDS)
def every_kind(t, kind):
    relay = relay_for(t, kind)
    for scheme in ("http", "https"):
        got = t.curl(relay, f"{scheme}://{t.site}/hello")
        equal((got.status, got.body), (200, b"hello from the origin\n"), f"GET by {scheme}")
        echo = t.curl(relay, f"{scheme}://{t.site}/echo?id={t.site}-{scheme}", "--data-binary", "some text").json()
        equal((echo["method"], echo["length"], echo["count"]), ("POST", 9, 1), f"POST by {scheme}")
    entries = passed(kind, t.site, 4)
    equal(sorted({entry.method for entry in entries}), ["CONNECT", "GET", "POST"], "methods in the log")
    # Later requests on an authenticated connection need no field; the first one does.
    equal(schemes_tried(kind, t.site) or {"none"}, {KINDS[kind][1]}, "schemes in the log")


@test("a chunked POST arrives whole through Squid {}", each=KINDS)
def chunked_everywhere(t, kind):
    relay = relay_for(t, kind)
    path, digest = random_file(300_000)
    for _ in range(2):
        echo = t.curl(relay, f"http://{t.site}/echo", "-X", "POST", "-T", path, "-H", "Transfer-Encoding: chunked").json()
        equal((echo["length"], echo["sha256"]), (300_000, digest), "what arrived")
    tunnelled = t.curl(relay, f"https://{t.site}/echo", "-X", "POST", "-T", path, "-H", "Transfer-Encoding: chunked").json()
    equal(tunnelled["sha256"], digest, "what arrived in a tunnel")


@test("Expect: 100-continue works through Squid {}", each=["none", "digest", "ntlm", "ntlmclose", "basic"])
def expect_continue(t, kind):
    relay = relay_for(t, kind)
    path, digest = random_file(300_000)
    for _ in range(2):
        got = t.curl(relay, f"http://{t.site}/echo", "-X", "POST", "-T", path, "-H", "Expect: 100-continue")
        equal((got.json()["length"], got.json()["sha256"]), (path.stat().st_size, digest), "what arrived")
        assert got.seconds < 0.9, f"curl waited for the 100 in vain: {got.seconds} s"


# ---- NTLM: names and passwords -------------------------------------------------------------------------------------

def logs_in_as(t, user, logged, kind="ntlm", scheme="NTLM", **options):
    relay = t.relay(kind, user=user, **options)
    for url in (f"http://{t.site}/hello", f"https://{t.site}/hello"):
        equal(t.curl(relay, url).status, 200, url)
    for entry in passed(kind, t.site, 2):
        equal((entry.user, entry.scheme), (logged, scheme), "in the log")


@test(r"NTLM logs in as {}", each=["CORP\\alice", "alice@CORP.TEST", "alice"])
def ntlm_names(t, user):
    logs_in_as(t, user, "CORP\\alice", password=ACCOUNTS["alice"])


@test("NTLM logs in with {}'s password", each=["bob", "dave", "eve", "lena"])
def ntlm_passwords(t, user):
    logs_in_as(t, f"CORP\\{user}", f"CORP\\{user}", password=ACCOUNTS[user])


@test("NTLM logs in with the password from the environment")
def ntlm_environment(t):
    logs_in_as(t, "CORP\\dave", "CORP\\dave", env={"HALLPASS_PASSWORD": ACCOUNTS["dave"]})


@test("NTLM logs in with the NT hash in place of the password")
def ntlm_hash(t):
    logs_in_as(t, "CORP\\bob", "CORP\\bob", nt_hash=nt_hash(t, ACCOUNTS["bob"]))


def nt_hash(t, password):
    text = t.dir / "utf16"
    text.write_bytes(password.encode("utf-16-le"))
    return t.run("openssl", "dgst", "-md4", "-provider", "legacy", "-provider", "default", "-r", text).split()[0]


@test("Basic logs in with {}'s password", each=["bob", "dave", "eve"])
def basic_passwords(t, user):
    logs_in_as(t, user, user, kind="basic", scheme="Basic", schemes=["basic"])


@test("Digest logs in with {}'s password", each=["bob", "dave", "eve"])
def digest_passwords(t, user):
    logs_in_as(t, user, user, kind="digest", scheme="Digest")


@test("sixty requests at once pass through Squid with five NTLM helpers")
def few_helpers(t):
    relay = t.relay("ntlm5", user="CORP\\alice", password=ACCOUNTS["alice"])
    statuses = at_once(60, lambda n: t.run("curl", "-sS", "-x", relay.url, "-o", "/dev/null", "-w", "%{http_code}", f"http://{t.site}/hello?{n}"))
    equal(statuses, ["200"] * 60, "statuses")


def at_once(count, work):
    results = [None] * count
    def one(n):
        results[n] = work(n)
    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# ---- Kerberos ------------------------------------------------------------------------------------------------------

def kerberos_passes(t, relay, kind="negotiate"):
    before = len([e for e in squid_log(kind, t.site) if e.status != 407])
    got = t.curl(relay, f"https://{t.site}/hello")
    equal((got.status, got.connect), (200, 200), got.stderr or "CONNECT")
    entry = passed(kind, t.site, before + 1)[-1]
    equal((entry.user, entry.scheme), ("alice@CORP.TEST", "Kerberos"), "in the log")


def refused(t, relay, url=None):
    """The client gets the 407 that no program asks its user for a password about, with a text that says what to do."""
    got = t.curl(relay, url or f"http://{t.site}/hello")
    equal(got.status or got.connect, 407, "status")
    equal((got.header("Proxy-Authenticate") or "").split(" ")[0], "Hallpass", "challenge")
    return got


@test("Kerberos uses the ticket that is there")
def ticket(t):
    t.kinit()
    relay = t.relay("negotiate")
    kerberos_passes(t, relay)
    equal(t.curl(relay, f"http://{t.site}/hello").status, 200, "GET")


@test("Kerberos works after kinit without a restart when there was no ticket at the start")
def late_ticket(t):
    relay = t.relay("negotiate")
    text = refused(t, relay).body.decode()
    assert "get a Kerberos ticket with kinit" in text and "errors.md#no-ticket" in text, f"the answer does not say what to do: {text}"
    t.kinit()
    kerberos_passes(t, relay)


@test("Kerberos works again when an expired service ticket has been replaced")
def expired_service_ticket(t):
    expired_and_renewed(t, "-S", SPN, lifetime="3s")


@test("Kerberos works again when an expired ticket has been renewed", background=True)
def expired_ticket(t):
    expired_and_renewed(t, lifetime="125s")   # Samba takes a ticket of up to 120 s for one to change a password with


def expired_and_renewed(t, *service, lifetime):
    relay = t.relay("negotiate")
    t.kinit("alice", "-l", lifetime, *service)
    kerberos_passes(t, relay)
    wait_for("the ticket to expire", lambda: not t.has_ticket(), 130)
    wait_for("a refusal of the expired ticket", lambda: t.curl(relay, f"https://{t.site}/hello").connect == 407)
    t.kinit()
    kerberos_passes(t, relay)


@test("Kerberos logs in by password without any ticket")
def kerberos_password(t):
    kerberos_passes(t, t.relay("negotiate", user="alice@CORP.TEST", password=ACCOUNTS["alice"]))


@test("Kerberos logs in by {}'s password without any ticket", each=["bob", "dave", "eve"])
def kerberos_odd_password(t, user):
    relay = t.relay("negotiate", user=f"{user}@CORP.TEST", password=ACCOUNTS[user])
    equal(t.curl(relay, f"https://{t.site}/hello").status, 200, "status")
    equal(passed("negotiate", t.site)[0].user, f"{user}@CORP.TEST", "in the log")


@test("Kerberos logs in by keytab without any ticket")
def kerberos_keytab(t):
    kerberos_passes(t, t.relay("negotiate", user="alice@CORP.TEST", keytab="/var/lib/samba/alice.keytab"))


@test("Kerberos logs in by the client keytab of the system's library")
def kerberos_client_keytab(t):
    kerberos_passes(t, t.relay("negotiate", env={"KRB5_CLIENT_KTNAME": "/var/lib/samba/alice.keytab"}))


# The proxy under a name that the directory has no service for.
ALIAS = "http://gateway.corp.test:3124"


@test("Kerberos by {} asks for the service that spn names", each=["ticket", "password"])
def spn_override(t, way):
    identity = {} if way == "ticket" else {"user": "alice@CORP.TEST", "password": ACCOUNTS["alice"]}
    if way == "ticket":
        t.kinit()
    text = refused(t, t.relay("negotiate", upstream={"url": ALIAS}, **identity)).body.decode()
    assert "gateway.corp.test" in text and "errors.md#proxy-not-in-directory" in text, text
    kerberos_passes(t, t.relay("negotiate", upstream={"url": ALIAS, "spn": SPN}, **identity))


@test("Kerberos asks for the service of the proxy's canonical name where canonicalize is {}", each=["always", "fallback"])
def canonical_name(t, canonicalize):
    t.kinit()
    kerberos_passes(t, t.relay("negotiate", upstream={"url": ALIAS, "canonicalize": canonicalize}))


# ---- the proxy that offers everything ------------------------------------------------------------------------------

@test("a combination proxy gets Kerberos when there is a ticket and NTLM otherwise, with one configuration")
def combination(t):
    options = {"user": "CORP\\alice", "password": ACCOUNTS["alice"]}   # no realm is stated, so there is no Kerberos by password
    without = t.relay("combo", **options)
    equal(t.curl(without, f"https://{t.site}/hello").status, 200, "without a ticket")
    equal(schemes_tried("combo", t.site), {"NTLM"}, "without a ticket")
    t.kinit()
    with_ticket = t.relay("combo", **options)
    equal(t.curl(with_ticket, f"https://{t.site}/hello").status, 200, "with a ticket")
    equal(passed("combo", t.site, 2)[-1].scheme, "Kerberos", "with a ticket")


@test("a combination proxy never gets Basic unless it is named")
def no_basic(t):
    unnamed = t.relay("combo", user="CORP\\alice", password=ACCOUNTS["alice"])
    equal(t.curl(unnamed, f"http://{t.site}/hello").status, 200, "status")
    assert "Basic" not in schemes_tried("combo", t.site), "Basic was tried"
    only_basic_offered = t.relay("basic", user="alice")
    refused(t, only_basic_offered)
    equal(schemes_tried("basic", t.site), set(), "schemes tried at a proxy that offers Basic only")
    named = t.relay("combo", user="alice", schemes=["basic"])
    equal(t.curl(named, f"http://{t.site}/hello").status, 200, "named")
    equal(passed("combo", t.site, 2)[-1].scheme, "Basic", "named")


# ---- wrong passwords -----------------------------------------------------------------------------------------------

def one_bad_logon(t, account, user, *upstreams, url=None, **options):
    unlock(account)
    relay = t.relay(*upstreams, user=user, password="not this one", **options)
    got = refused(t, relay, url)
    equal(bad_logons(account), 1, "bad logons in the directory after one request")
    return got


@test("a wrong password is tried once per request and answered with what to do by Squid {}",
      each=["ntlm", "ntlmclose", "wrap", "wraponly", "basic"])
def wrong_password(t, kind):
    account = f"wrong-{kind}"
    options = {"schemes": ["basic"]} if kind == "basic" else {}
    got = one_bad_logon(t, account, account if kind == "basic" else f"CORP\\{account}", kind, **options)
    text = got.body.decode()
    assert "password" in text.lower() and len(text.strip().splitlines()) == 1, f"the answer does not say what to do: {text!r}"
    assert got.header("Proxy-Status"), f"no Proxy-Status: {got.head}"
    assert "not this one" not in text + got.head + t.relays[0].log.read_text(), "the password is shown"


@test("a wrong password at a combination proxy is one bad logon in the directory")
def wrong_at_combination(t):
    one_bad_logon(t, "wrong-combo", "CORP\\wrong-combo", "combo")


@test("a wrong password is one bad logon also with a second upstream in the list")
def wrong_with_two(t):
    one_bad_logon(t, "wrong-two", "CORP\\wrong-two", "combo", "wrap", url=f"https://{t.site}/hello")


@test("a password that the KDC refuses is not tried by NTLM too")
def wrong_at_kdc(t):
    one_bad_logon(t, "wrong-kdc", "wrong-kdc@CORP.TEST", "combo")
