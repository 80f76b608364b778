"""A laptop between an office, a home and the internet: four network namespaces for one test, joined by cables that can be pulled.

    laptop ─ office  10.9.0.0/24, gateway and DNS .1, PAC server .10:80, Squid .20:3128 (demands a log-in, alone gets out)
           ─ home    192.168.77.0/24, gateway and DNS .1, lets everything out
           ─ vpn     10.8.0.0/24, leads to the office's network and nowhere else
    internet         203.0.113.5: a web site that says who asked it, and an echo

The addresses are the same in every test, so tests run side by side. Servers are threads of this process whose sockets belong to the
place; Squid and the relay are programs there. All of it ends with the test.
"""
import shutil
import subprocess
import time
from pathlib import Path

from harness import wait_for
from layout import CA, RUN
from namespace import Place
from servers import (AT_HOME, AT_OFFICE, CERTIFICATE, ECHO_PORT, ON_VPN, ORIGIN, PAC_HOST, PROXY, Dns, Echo, PacServer, Server, Site,
                     Sniffer, Squid, server_tls)


def stage():
    """What all tests of this process share; its mount and process namespaces are its own."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "places", "/run"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for directory in (RUN / "tests", CA):
        directory.mkdir(parents=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-subj", "/CN=origin.test", "-addext", "subjectAltName=DNS:origin.test", "-keyout", CA / "ca.key", "-out", CERTIFICATE],
                   check=True, capture_output=True)


def keep_logs(to):
    """What the relays and proxies wrote, out of this namespace's memory."""
    shutil.rmtree(to, ignore_errors=True)
    for log in (*RUN.glob("tests/*/relay-*/log"), *RUN.glob("tests/*/squid/*.log")):
        copy = to / log.relative_to(RUN / "tests")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(log, copy)


# ---- the places ----------------------------------------------------------------------------------------------------

class Internet(Place):
    def __init__(self):
        super().__init__()
        self.ip(f"addr add {ORIGIN}/32 dev lo")
        self.servers = [Server(self, (ORIGIN, 80), Site), Server(self, (ORIGIN, 443), Site, server_tls()), Echo(self, (ORIGIN, ECHO_PORT))]

    def close(self):
        for server in self.servers:
            server.close()
        super().close()


class Office(Place):
    """Nothing leaves it but by the proxy: what the laptop sends elsewhere is dropped without a word."""

    def __init__(self, directory):
        super().__init__()
        # A rule can drop what comes in for an address of ours only before the table of our addresses is asked.
        self.ip(f"addr add {PAC_HOST}/32 dev lo", f"addr add {PROXY}/32 dev lo",
                "rule add pref 100 lookup local", "rule del pref 0 lookup local")
        self.names = {"pac.corp.test": PAC_HOST, "proxy.corp.test": PROXY, "origin.test": ORIGIN, "wiki.intern.test": PAC_HOST}
        self.pac, self.squid = PacServer(self), Squid(self, directory / "squid")
        self.dns = self.sniffer = None   # they need the cables

    def open(self):
        self.forwards(False)
        self.dns, self.sniffer = Dns(self, "10.9.0.1", self.names), Sniffer(self, ("lan", "vpn"))
        wait_for("Squid", self.squid.is_up)

    def vanish(self, *hosts):
        """TCP from the laptop to these hosts gets no answer at all."""
        self.drop("add", hosts)

    def reappear(self, *hosts):
        self.drop("del", hosts)

    def drop(self, verb, hosts):
        self.ip(*(f"rule {verb} pref 10 iif {name} to {host} ipproto tcp blackhole" for host in hosts for name in ("lan", "vpn")))

    def close(self):
        for part in (self.pac, self.squid, self.dns, self.sniffer):
            if part:
                part.close()
        super().close()


class Home(Place):
    """Everything leaves it but what is for private networks. What the office's names are here is `corp`: "unknown" (there is no such name),
    "refuses" or "vanishes" (what their addresses do)."""
    ROUTES = {"unknown": ["blackhole 10.9.0.0/24"], "refuses": [f"local {PAC_HOST}/32 dev lo", f"local {PROXY}/32 dev lo"], "vanishes": ["blackhole 10.9.0.0/24"]}

    def __init__(self):
        super().__init__()
        self.names, self.corp, self.dns = {"origin.test": ORIGIN}, "unknown", None

    def open(self):
        self.forwards(True)
        self.ip(*(f"route add {route} table {table(route)}" for route in self.ROUTES[self.corp]))
        self.dns = Dns(self, "192.168.77.1", self.names)

    def office_names(self, corp):
        self.ip(*(f"route del {route} table {table(route)}" for route in self.ROUTES[self.corp]),
                *(f"route add {route} table {table(route)}" for route in self.ROUTES[corp]))
        for name, address in (("pac.corp.test", PAC_HOST), ("proxy.corp.test", PROXY)):
            self.names.pop(name, None)
            if corp != "unknown":
                self.names[name] = address
        self.corp = corp

    def close(self):
        if self.dns:
            self.dns.close()
        super().close()


def table(route):
    return "local" if route.startswith("local") else "main"


class Laptop(Place):
    """Both cables and the VPN are there; each is down until it is plugged in. /etc is its own, as a DHCP client would write it."""
    LEASES = {"office": (f"{AT_OFFICE}/24", "10.9.0.1", "nameserver 10.9.0.1\nsearch corp.test\n"),
              "home": (f"{AT_HOME}/24", "192.168.77.1", "nameserver 192.168.77.1\nsearch home.test\n")}

    def __init__(self, directory):
        super().__init__("--mount", "--propagation=private")
        for part in ("etc", "work"):
            (directory / part).mkdir()
        layers = f"lowerdir=/etc,upperdir={directory}/etc,workdir={directory}/work"
        self.run("mount", "-t", "overlay", "-o", layers, "etc", "/etc")
        self.etc = Path(f"/proc/{self.pid}/root/etc")
        for name in ("resolv.conf", "nsswitch.conf", "hosts"):
            (self.etc / name).unlink(missing_ok=True)   # may be a link to somewhere else
        (self.etc / "hosts").write_text("127.0.0.1 localhost\n")
        (self.etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
        self.plugged, self.vpn = None, False
        self.resolv_conf()

    def command(self, *command):
        return super().command("--mount", *command)

    def plug(self, place):
        """When the cable was in and all addresses were there."""
        address, gateway, _ = self.LEASES[place]
        self.ip(f"link set {place} up", f"addr add {address} dev {place}", f"route add default via {gateway}")
        self.plugged = place
        self.resolv_conf()
        return time.monotonic()

    def unplug(self):
        self.ip(f"addr flush dev {self.plugged}", f"link set {self.plugged} down")
        self.plugged = None
        self.resolv_conf()
        return time.monotonic()

    def vpn_up(self):
        self.ip("link set vpn up", f"addr add {ON_VPN}/24 dev vpn", "route add 10.9.0.0/24 via 10.8.0.1")
        self.vpn = True
        self.resolv_conf()
        return time.monotonic()

    def vpn_down(self):
        self.ip("addr flush dev vpn", "link set vpn down")
        self.vpn = False
        self.resolv_conf()
        return time.monotonic()

    def resolv_conf(self):
        place = "office" if self.vpn else self.plugged
        text = self.LEASES[place][2] if place else "# no network\n"
        new = self.etc / "resolv.conf.new"
        new.write_text(text)
        new.rename(self.etc / "resolv.conf")


CABLES = [   # place, interface, address; its other end
    ("laptop", "office", None, "office", "lan", "10.9.0.1/24"),
    ("laptop", "home", None, "home", "lan", "192.168.77.1/24"),
    ("laptop", "vpn", None, "office", "vpn", "10.8.0.1/24"),
    ("office", "wan", "198.51.100.2/30", "internet", "office", "198.51.100.1/30"),
    ("home", "wan", "198.51.100.6/30", "internet", "home", "198.51.100.5/30"),
]


class Places:
    def __init__(self, directory):
        self.all = {}
        try:
            for name, make in (("internet", Internet), ("office", lambda: Office(directory)), ("home", Home),
                               ("laptop", lambda: Laptop(directory))):
                self.all[name] = make()
            self.internet, self.office, self.home, self.laptop = self.all.values()
            for cable in CABLES:
                self.join(*cable)
            self.office.ip("route add default via 198.51.100.1")
            self.home.ip("route add default via 198.51.100.5")
            self.internet.ip("route add 10.9.0.0/24 via 198.51.100.2", "route add 192.168.77.0/24 via 198.51.100.6")
            self.office.open()
            self.home.open()
        except BaseException:
            self.close()
            raise

    def join(self, left, left_name, left_address, right, right_name, right_address):
        ends = [(self.all[left], left_name, left_address), (self.all[right], right_name, right_address)]
        (a, _, _), (b, _, _) = ends
        subprocess.run(["ip", "link", "add", "name", left_name, "netns", str(a.pid), "type", "veth",
                        "peer", "name", right_name, "netns", str(b.pid)], check=True)
        for place, name, address in ends:
            if address:
                place.ip(f"addr add {address} dev {name}", f"link set {name} up")

    def close(self):
        for place in self.all.values():
            place.close()
