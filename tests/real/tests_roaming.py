"""A laptop that goes from place to place: the client keeps its settings, and each request goes the way that is right there."""
import contextlib
import functools
import socket
import statistics
import subprocess
import time

from harness import equal, read_head, test, wait_for
from places import Places
from servers import CERTIFICATE, ECHO_PORT, ORIGIN, PAC_HOST, PAC_URL, PASSWORD, PROXY, USER
from traveller import LATER, SLACK, Client, Relay, ask, fetch

PROXIED, FROM_HOME, FROM_OFFICE, REFUSED = "proxied", "direct from home", "direct from the office", "refused by the relay"
GET_AND_CONNECT = ["GET", "CONNECT"]

PAC = f"""[pac]
url = "{PAC_URL}"
"""
PROFILES = """[upstreams.office]
url = "http://proxy.corp.test:3128"
schemes = ["basic"]
[profiles.office]
when = { reachable = "proxy.corp.test:3128" }
upstreams = ["office"]
[profiles.home]
upstreams = []
"""


def roaming(sentence, **options):
    """A test with places of its own."""
    def register(function):
        @test(sentence, stage="places", **options)
        @functools.wraps(function)
        def run(t, *case):
            places = Places(t.dir)
            try:
                function(t, places, *case)
            finally:
                places.close()
        return function
    return register


def serve(t, places, config, state=None):
    return Relay(t, places.laptop, config, state)


@contextlib.contextmanager
def asking(places):
    client = Client(places.laptop)
    try:
        yield client
    finally:
        client.stop()


def ask_once(places, kind, seconds=15):
    with places.laptop.inside():
        return ask(kind, seconds=seconds)


def plain_seconds(places):
    """What a request takes without a relay."""
    with places.laptop.inside():
        return statistics.median(ask(kind, None).seconds for kind in GET_AND_CONNECT * 3)


def nothing_went_direct(places):
    equal(places.office.sniffer.syns, [], "connections to the origin that the laptop tried to make in the office, past the proxy")


# ---- the places themselves -----------------------------------------------------------------------------------------

@roaming("the places are what the tests take them for: the office swallows what goes past its proxy, home lets it out")
def the_places(t, places):
    laptop, office, home = places.laptop, places.office, places.home

    def curl(*options):
        done = subprocess.run(laptop.command("curl", "-sS", "--cacert", CERTIFICATE, "--max-time", "1", "-o", t.dir / "body", "-w", "%{http_code}",
                                             *options), capture_output=True, text=True)
        return done.returncode, int(done.stdout)

    def way():
        return (t.dir / "body").read_text()

    timed_out, no_name, no_connection, from_proxy = 28, 6, 7, 56
    equal(curl("http://origin.test/peer"), (no_name, 0), "without any network")

    laptop.plug("office")
    began = time.monotonic()
    equal(curl("http://origin.test/peer"), (timed_out, 0), "past the proxy in the office")
    assert time.monotonic() - began > 0.9, "it did not hang"
    assert office.sniffer.syns, "nobody saw the attempt"
    equal(curl(PAC_URL), (0, 200), "the PAC server")
    assert "FindProxyForURL" in way(), way()
    proxy = ["--proxy", "http://proxy.corp.test:3128"]
    equal(curl(*proxy, "http://origin.test/peer"), (0, 407), "the proxy without a log-in")
    equal(curl(*proxy, "--proxy-user", f"{USER}:wrong", "--proxy-digest", "https://origin.test/peer"), (from_proxy, 0), "with a wrong password")
    for scheme in ("--proxy-basic", "--proxy-digest"):
        for url in ("http://origin.test/peer", "https://origin.test/peer"):
            equal(curl(*proxy, "--proxy-user", f"{USER}:{PASSWORD}", scheme, url), (0, 200), f"{url} with {scheme}")
            assert PROXY in way(), way()
    for says, status, text in (("portal", 200, "<html>"), ("error", 500, "Error")):
        office.pac.says = says
        equal(curl(PAC_URL), (0, status), f"the PAC server as {says}")
        assert text in way(), way()
    office.pac.stop()
    equal(curl(PAC_URL), (no_connection, 0), "the stopped PAC server")
    office.vanish(PAC_HOST, PROXY)
    for url in (PAC_URL, "http://proxy.corp.test:3128"):
        equal(curl(url), (timed_out, 0), f"{url}, vanished")
    office.reappear(PAC_HOST, PROXY)
    office.pac.start()
    office.pac.says = "script"
    equal(curl(PAC_URL), (0, 200), "the PAC server, back again")

    laptop.unplug()
    laptop.plug("home")
    for url in ("http://origin.test/peer", "https://origin.test/peer"):
        equal(curl(url), (0, 200), f"{url} at home")
        assert "192.168.77.50" in way(), way()
    for corp, wanted in (("unknown", no_name), ("refuses", no_connection), ("vanishes", timed_out), ("unknown", no_name)):
        home.office_names(corp)
        equal(curl(PAC_URL), (wanted, 0), f"the PAC server at home: {corp}")
        equal(curl("http://proxy.corp.test:3128"), (wanted, 0), f"the proxy at home: {corp}")

    laptop.vpn_up()
    equal(curl(PAC_URL), (0, 200), "the PAC server by VPN")
    equal(curl(*proxy, "--proxy-user", f"{USER}:{PASSWORD}", "http://origin.test/peer"), (0, 200), "the proxy by VPN")
    equal(curl("http://origin.test/peer"), (0, 200), "past the proxy with the VPN beside home")
    assert "192.168.77.50" in way(), way()
    laptop.vpn_down()
    equal(curl(PAC_URL), (no_name, 0), "the PAC server without VPN")
    with laptop.connect(ORIGIN, ECHO_PORT) as connection:
        connection.sendall(b"x")
        equal(connection.recv(1), b"x", "the echo")


# ---- from place to place -------------------------------------------------------------------------------------------

class Trip:
    """Moves the laptop, and looks at what becomes of the client's requests after each move."""

    def __init__(self, t, places, client):
        self.t, self.places, self.client = t, places, client

    def go(self, place, way, corp=None):
        """To a place where requests go `way` and the office's names are as `corp` says."""
        laptop = self.places.laptop
        if laptop.plugged:
            laptop.unplug()
        if corp:
            self.places.home.office_names(corp)
        self.arrived(laptop.plug(place), way, f"{place}, where the office {corp}" if corp else place)

    def arrived(self, moved, way, place):
        first = self.client.settles(moved, way)
        self.t.notes.append(f"{place}: the first request {way} ended {first:.2f} s after the move")
        assert first < 3 + SLACK, self.t.notes[-1]


def travel(t, places, config):
    """Started without any network, and once around."""
    serve(t, places, config)
    with asking(places) as client:
        client.settles(time.monotonic(), REFUSED, watch=2)
        trip = Trip(t, places, client)
        trip.go("office", PROXIED)
        trip.go("home", FROM_HOME, "refuses")
        trip.go("office", PROXIED)
        trip.go("home", FROM_HOME, "vanishes")
        trip.go("office", PROXIED)
        trip.go("home", FROM_HOME, "unknown")
        client.settles(places.laptop.unplug(), REFUSED, watch=2)
        trip.go("office", PROXIED)
    nothing_went_direct(places)


@roaming("with a PAC script a client goes from no network to the office, home and back, and each request the right way")
def travel_by_script(t, places):
    travel(t, places, PAC)


@roaming("with profiles a client goes from no network to the office, home and back, and each request the right way")
def travel_by_profile(t, places):
    travel(t, places, PROFILES)


@roaming("a VPN that comes up beside home has requests proxied with {}, and direct when it goes", each=["a PAC script", "profiles"])
def vpn(t, places, by):
    places.laptop.plug("home")
    serve(t, places, PAC if by == "a PAC script" else PROFILES)
    with asking(places) as client:
        client.settles(time.monotonic(), FROM_HOME, watch=2)
        trip = Trip(t, places, client)
        for corp in ("unknown", "vanishes"):   # while there is no VPN
            places.home.office_names(corp)
            trip.arrived(places.laptop.vpn_up(), PROXIED, "VPN")
            trip.arrived(places.laptop.vpn_down(), FROM_HOME, f"home, where the office {corp}")


@roaming("in the office the script's own names go direct and all others by the proxy")
def by_name(t, places):
    places.laptop.plug("office")
    serve(t, places, PAC)
    for kind in GET_AND_CONNECT:
        equal(ask_once(places, kind).way, PROXIED, kind)
    with places.laptop.inside(), socket.create_connection(("127.0.0.1", 3128), timeout=10) as connection:
        status, body = fetch(connection, True, "http://wiki.intern.test/page")
    assert status == 200 and b"FindProxyForURL" in body, f"{status} {body}"   # the proxy does not know this name
    assert "wiki" not in places.office.squid.log.read_text(), "the proxy was asked"
    nothing_went_direct(places)


# ---- nobody says that the network changed --------------------------------------------------------------------------

@roaming("when the office silently goes dead and a way out opens, a {} goes direct within 2 s and later ones at once, and back",
         each=GET_AND_CONNECT, alone=True)
def dead_silence(t, places, kind):
    silence(t, places, kind, ["CONNECT"], 2)   # a GET would leave a connection to be used again


@roaming("when the office silently goes dead and a way out opens, a GET on a connection that was kept goes direct within 3 s", alone=True)
def dead_silence_kept(t, places):
    silence(t, places, "GET", ["CONNECT", "GET", "GET"], 3)   # that nobody takes what is sent on it shows after a second


def silence(t, places, kind, before, seconds):
    laptop, office = places.laptop, places.office
    laptop.plug("office")
    serve(t, places, PAC)
    other = GET_AND_CONNECT[kind == "GET"]
    for each in before:
        equal(ask_once(places, each).way, PROXIED, f"{each} before")
    office.vanish(PAC_HOST, PROXY)
    office.forwards(True)
    plain = plain_seconds(places)
    first = ask_once(places, kind)
    later = [ask_once(places, each) for each in (kind, other) * 10]
    t.notes.append(f"first {first}; later median {statistics.median(one.seconds for one in later) * 1000:.1f} ms, "
                   f"worst {max(one.seconds for one in later) * 1000:.1f} ms; without a relay {plain * 1000:.1f} ms")
    assert first.way == FROM_OFFICE and first.seconds < seconds + SLACK, f"the first one: {first}"
    late = [str(one) for one in later if one.way != FROM_OFFICE or one.seconds > plain + LATER]
    assert not late, f"later ones: {late}"

    office.forwards(False)
    office.sniffer.syns.clear()
    office.reappear(PAC_HOST, PROXY)
    back = time.monotonic()
    with asking(places):
        wait_for("a request by the proxy", lambda: ask_once(places, "GET", 3).way == PROXIED, 20)
        t.notes.append(f"proxied again {time.monotonic() - back:.1f} s after the office came back")


# ---- tunnels -------------------------------------------------------------------------------------------------------

class Tunnel:
    """An echo through the relay."""

    def __init__(self, places):
        self.connection = places.laptop.connect("127.0.0.1", 3128)
        self.connection.sendall(b"CONNECT origin.test:%d HTTP/1.1\r\nHost: origin.test:%d\r\n\r\n" % (ECHO_PORT, ECHO_PORT))
        head = read_head(self.connection)
        assert head.startswith("HTTP/1.1 200"), head
        self.lives()

    def lives(self):
        self.connection.sendall(b"are you there?")
        equal(self.connection.recv(100), b"are you there?", "the echo")

    def end(self, seconds):
        """How long until the relay ended it, and how."""
        began = time.monotonic()
        self.connection.settimeout(seconds)
        try:
            data = self.connection.recv(100)
            how = "closed" if not data else f"sent {data!r}"
        except ConnectionResetError:
            how = "reset"
        except TimeoutError:
            how = "left hanging"
        return time.monotonic() - began, how


def stream(places, count, step_ms):
    """A streaming answer, forwarded by the relay: gives its events as they come."""
    connection = places.laptop.connect("127.0.0.1", 3128)
    connection.sendall(f"GET http://origin.test/stream?n={count}&ms={step_ms} HTTP/1.1\r\nHost: origin.test\r\n\r\n".encode())
    head = read_head(connection)
    assert head.startswith("HTTP/1.1 200"), head
    data = b""
    while data.count(b"data: ") < count:
        piece = connection.recv(65536)
        assert piece, f"the stream was cut after {data.count(b'data: ')} of {count} events"
        data += piece
        yield data.count(b"data: ")


@roaming("tunnels and streams live on while other networks come and go")
def tunnels_survive(t, places):
    laptop = places.laptop
    laptop.plug("home")
    serve(t, places, PAC)
    wait_for("the direct way", lambda: ask_once(places, "GET").way == FROM_HOME)
    direct, events = Tunnel(places), stream(places, 50, 200)
    next(events)
    laptop.vpn_up()
    wait_for("the proxy's way", lambda: ask_once(places, "GET").way == PROXIED)
    direct.lives()
    by_vpn = Tunnel(places)
    by_vpn.lives()
    gone = laptop.vpn_down()
    wait_for("the direct way", lambda: ask_once(places, "GET").way == FROM_HOME)
    seconds, how = by_vpn.end(8)
    t.notes.append(f"the tunnel by the VPN was {how} {time.monotonic() - gone:.1f} s after it went")
    direct.lives()
    equal(list(events)[-1], 50, "events")
    direct.lives()


@roaming("a tunnel in the office lives on while another network card comes and goes")
def other_card(t, places):
    laptop = places.laptop
    laptop.plug("office")
    serve(t, places, PAC)
    tunnel = Tunnel(places)
    for lines in (["link add dock type veth peer name cable", "link set cable up", "link set dock up", "addr add 172.20.0.2/24 dev dock"],
                  ["link del dock"]):
        laptop.ip(*lines)
        moved = time.monotonic()
        wait_for("the settled state", lambda: time.monotonic() > moved + 4)   # a tunnel that is given up goes after 3 s
        tunnel.lives()
        equal(ask_once(places, "CONNECT").way, PROXIED, "a request")
    nothing_went_direct(places)


@roaming("a tunnel whose own address is gone is reset within 5 s, {}", each=["proxied in the office", "direct at home", "proxied by a VPN"])
def tunnel_ends(t, places, where):
    laptop = places.laptop
    laptop.plug("office" if where == "proxied in the office" else "home")
    if where == "proxied by a VPN":
        laptop.vpn_up()
    serve(t, places, PAC)
    way = FROM_HOME if where == "direct at home" else PROXIED
    wait_for(way, lambda: ask_once(places, "GET").way == way)
    tunnel = Tunnel(places)
    laptop.vpn_down() if laptop.vpn else laptop.unplug()
    seconds, how = tunnel.end(15)
    t.notes.append(f"{how} after {seconds:.1f} s")
    assert how == "reset" and 2 < seconds < 5 + SLACK, t.notes[-1]


@roaming("a tunnel lives on when its cable was out for a second only")
def short_break(t, places):
    laptop = places.laptop
    laptop.plug("office")
    serve(t, places, PAC)
    tunnel = Tunnel(places)
    gone = laptop.unplug()
    wait_for("a second", lambda: time.monotonic() > gone + 1)
    laptop.plug("office")
    wait_for("the time when it would be given up", lambda: time.monotonic() > gone + 6)
    tunnel.lives()


# ---- what is wrong with the PAC server -----------------------------------------------------------------------------

REFRESHED = PAC + 'refresh = "2s"\n'


def pac_server_stops(t, places, seconds):
    places.laptop.plug("office")
    serve(t, places, REFRESHED)
    with asking(places) as client:
        client.settles(time.monotonic(), PROXIED, watch=2)
        asked = len(places.office.pac.asked)
        assert any(places.office.pac.asked), "it was never asked whether the script is still the same"
        places.office.pac.stop()
        client.settles(time.monotonic(), PROXIED, watch=seconds, within=0)
        places.office.pac.start()
        client.settles(time.monotonic(), PROXIED, watch=2, within=0)
        wait_for("it to be asked again", lambda: len(places.office.pac.asked) > asked, 70)
        places.office.vanish(PAC_HOST)
        client.settles(time.monotonic(), PROXIED, watch=seconds, within=0)
    nothing_went_direct(places)


@roaming("a PAC server that takes the question and is silent holds up nobody who leaves the office meanwhile")
def silent_server(t, places):
    places.laptop.plug("office")
    serve(t, places, REFRESHED)
    with asking(places) as client:
        client.settles(time.monotonic(), PROXIED, watch=2)
        places.office.pac.says = "nothing"
        asked = len(places.office.pac.asked)
        wait_for("a question that is not answered", lambda: len(places.office.pac.asked) > asked, 10)
        Trip(t, places, client).go("home", FROM_HOME, "refuses")
    nothing_went_direct(places)


@roaming("the PAC server of the office is down and then dead: nothing goes direct, every request by the proxy")
def outage(t, places):
    pac_server_stops(t, places, 8)


@roaming("the PAC server of the office is down and then dead for a minute each: nothing goes direct, every request by the proxy", soak=True)
def long_outage(t, places):
    pac_server_stops(t, places, 60)


@roaming("a PAC server that answers with {} sends nothing direct, before and after a restart", each=["portal", "error"])
def no_script(t, places, says):
    office = places.office
    places.laptop.plug("office")
    relay = serve(t, places, REFRESHED)
    with asking(places) as client:
        client.settles(time.monotonic(), PROXIED, watch=2)
        office.pac.says = says
        asked = len(office.pac.asked)
        client.settles(time.monotonic(), PROXIED, watch=5, within=0)
        assert len(office.pac.asked) > asked, "it was not asked meanwhile"
    relay.stop()
    with_copy = serve(t, places, REFRESHED, relay.state)
    with asking(places) as client:
        client.settles(time.monotonic(), PROXIED, watch=3, within=0)
    with_copy.stop()
    serve(t, places, REFRESHED)
    with asking(places) as client:
        client.settles(time.monotonic(), REFUSED, watch=3, within=0)
        office.pac.says = "script"
        healed = time.monotonic()
        wait_for("a request by the proxy", lambda: any(one.way == PROXIED for one in client.requests if one.begun > healed), 10)
        t.notes.append(f"proxied {time.monotonic() - healed:.1f} s after the script was there again")
    nothing_went_direct(places)


# ---- what is wrong with the proxy ----------------------------------------------------------------------------------

@roaming("a proxy that swallows everything costs the first {} its connect_timeout and later ones nothing, and is found again by itself",
         each=GET_AND_CONNECT, alone=True)
def black_hole(t, places, kind):
    swallowed(t, places, kind, ["CONNECT"], 2.3)   # a GET would leave a connection to be used again


@roaming("a proxy that swallows everything costs a GET on a connection that was kept a second more", alone=True)
def black_hole_kept(t, places):
    swallowed(t, places, "GET", ["CONNECT", "GET", "GET"], 3.3)


def swallowed(t, places, kind, before, seconds):
    office = places.office
    places.laptop.plug("office")
    serve(t, places, "connect_timeout = \"2s\"\n" + PAC)
    for each in before:
        equal(ask_once(places, each).way, PROXIED, f"{each} before")
    office.vanish(PROXY)
    first = ask_once(places, kind)
    later = [ask_once(places, each) for each in GET_AND_CONNECT * 10]
    t.notes.append(f"first {first.status} in {first.seconds:.2f} s; later median {statistics.median(one.seconds for one in later) * 1000:.1f} ms, "
                   f"worst {max(one.seconds for one in later) * 1000:.1f} ms")
    assert first.way == REFUSED and first.seconds < seconds + SLACK, f"the first one: {first}"
    late = [str(one) for one in later if one.way != REFUSED or one.seconds > LATER]
    assert not late, f"later ones: {late}"
    office.reappear(PROXY)
    back = time.monotonic()
    wait_for("a request by the proxy", lambda: ask_once(places, kind).way == PROXIED, 15)
    t.notes.append(f"proxied again {time.monotonic() - back:.1f} s after it came back")
    nothing_went_direct(places)


# ---- direct_fallback -----------------------------------------------------------------------------------------------

@roaming("with direct_fallback never, requests at home are refused, whether the PAC server's name is unknown or its address refuses or vanishes")
def never_direct(t, places):
    laptop, home = places.laptop, places.home
    laptop.plug("home")
    serve(t, places, 'direct_fallback = "never"\nconnect_timeout = "1s"\n' + PAC)
    with asking(places) as client:
        for corp, settled in (("unknown", 3), ("refuses", 3), ("vanishes", 5)):   # the last takes a connect_timeout more
            laptop.unplug()
            home.office_names(corp)
            client.settles(laptop.plug("home"), REFUSED, watch=2, within=settled)
        laptop.unplug()
        client.settles(laptop.plug("office"), PROXIED, watch=2)
        laptop.unplug()
        client.settles(laptop.plug("home"), REFUSED, watch=2, within=settled)
        equal([str(one) for one in client.requests if one.way == FROM_HOME], [], "requests that went direct")


@roaming("with direct_fallback always, requests go direct when a captive portal answers for the PAC server")
def always_direct(t, places):
    office = places.office
    office.pac.says = "portal"
    office.forwards(True)
    places.laptop.plug("office")
    serve(t, places, 'direct_fallback = "always"\n' + PAC)
    with asking(places) as client:
        client.settles(time.monotonic(), FROM_OFFICE, watch=2)
