#!/usr/bin/env python3
"""A network with a round-trip time: two namespaces joined by a line on which every packet takes half of it.

    delay_line.py --rtt 20ms -- CMD ARG…    runs CMD at the near end and ends with its exit code
    delay_line.py --rtt 20ms                says on stdout what CMD would find in its environment, as one line of
                                            JSON, and holds the line until its standard input ends
    delay_line.py --rtt 20ms --prove        measures the line itself: round trips, and how many packets a second

CMD finds in its environment
    DELAY_NEAR, DELAY_FAR          the addresses of the two ends
    DELAY_NEAR_PID, DELAY_FAR_PID  a process in each: `nsenter --net --target PID CMD` runs at that end
    DELAY_RTT_MS                   the round trip
    DELAY_LINE                     "netem" or "tun"

Both ends have nothing but their loopback and the line. Where the kernel has netem the line is a pair of devices
with it; else it is two TUN devices with this program between them. Nothing is left behind, however this ends: the
namespaces live as long as their processes, and those as long as this one. Linux only; who is not root needs
user namespaces.
"""

import argparse
import collections
import ctypes
import errno
import fcntl
import gc
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

# RFC 2544 sets 198.18.0.0/15 aside for measurements, so it is no address of the machine's own networks.
NEAR, FAR, PREFIX = "198.18.0.1", "198.18.0.2", "/30"
MTU = 1500
# What the line can hold on its way; a real one drops what comes faster than it carries, too.
HELD_PACKETS = 100_000

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PR_SET_PDEATHSIG = 1
INSIDE = "DELAY_LINE_INSIDE"


def main():
    args = arguments()
    if os.environ.pop(INSIDE, None) is None:
        become_near_end()
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)
    far = FarEnd()
    try:
        line = join(far, args.rtt)
        environment = {
            "DELAY_NEAR": NEAR,
            "DELAY_FAR": FAR,
            "DELAY_NEAR_PID": str(os.getpid()),
            "DELAY_FAR_PID": str(far.pid),
            "DELAY_RTT_MS": f"{args.rtt * 1000:g}",
            "DELAY_LINE": line.kind,
        }
        if args.prove:
            return serve(line, [sys.executable, os.path.abspath(__file__), "--prober", str(args.rtt)], environment)
        if args.command:
            return serve(line, args.command, environment)
        print(json.dumps(environment), flush=True)
        line.carry_until(sys.stdin.fileno())
        return 0
    finally:
        far.close()


def arguments():
    if sys.argv[1:2] == ["--prober"]:
        sys.exit(prove(float(sys.argv[2])))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rtt", type=seconds, required=True, help="the round trip: 20ms, 0.08s")
    parser.add_argument("--prove", action="store_true", help="measure the line itself")
    parser.add_argument("command", nargs="*", metavar="CMD")
    args = parser.parse_args()
    if args.prove and args.command:
        parser.error("--prove takes no command")
    return args


def seconds(text):
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: say 20ms or 0.08s")
    return float(found[1]) / (1000 if found[2] == "ms" else 1)


def become_near_end():
    """Starts this program anew in a network namespace of its own, as the same process."""
    unshare = ["unshare", "--net"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])
    os.environ[INSIDE] = "1"
    os.execvp(unshare[0], unshare + [sys.executable, os.path.abspath(__file__)] + sys.argv[1:])


def end(number, _frame):
    sys.exit(128 + number)


class FarEnd:
    """A namespace kept by a process that ends with its standard input, so when this program does."""

    def __init__(self):
        keeper = ["unshare", "--net", "sh", "-c", "echo here; exec cat >/dev/null"]
        self.process = subprocess.Popen(keeper, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline() != b"here\n":
            sys.exit("delay_line: a second network namespace was refused (root or user namespaces are needed)")
        self.pid = self.process.pid

    def ip(self, *words):
        run(*self.enter(), "ip", *words)

    def enter(self):
        return "nsenter", "--net", "--target", str(self.pid)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def join(far, rtt):
    """Puts a line between here and the far end, and addresses on it."""
    line = netem(far, rtt) or Tun(far, rtt)
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", NEAR + PREFIX, "dev", "near")
    run("ip", "link", "set", "near", "mtu", str(MTU), "up")
    far.ip("link", "set", "lo", "up")
    far.ip("address", "add", FAR + PREFIX, "dev", "far")
    far.ip("link", "set", "far", "mtu", str(MTU), "up")
    return line


def netem(far, rtt):
    """The kernel's own delay on a pair of devices, or nothing where the kernel has it not."""
    delay = ["netem", "delay", f"{rtt * 500_000:.0f}us", "limit", str(HELD_PACKETS)]
    try:
        run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
        run("ip", "link", "set", "far", "netns", str(far.pid))
        run("tc", "qdisc", "add", "dev", "near", "root", *delay)
        run(*far.enter(), "tc", "qdisc", "add", "dev", "far", "root", *delay)
    except (OSError, subprocess.CalledProcessError):
        # One end of a pair takes the other with it; where not even the pair could be made there is nothing to take.
        subprocess.run(["ip", "link", "delete", "near"], stderr=subprocess.DEVNULL, check=False)
        return None
    return Netem()


class Netem:
    kind = "netem"

    def carry_until(self, ended):
        """The kernel carries; only the end is waited for."""
        while True:
            select.select([ended], [], [])
            if over(ended):
                return


class Tun:
    kind = "tun"

    def __init__(self, far, rtt):
        self.near, self.far = device("near"), device("far")
        run("ip", "link", "set", "far", "netns", str(far.pid))
        self.half = rtt / 2

    def carry_until(self, ended):
        """Carries packets between the devices, each after its time, until `ended` has something to say."""
        punctual()
        ways = [Way(self.near, self.far), Way(self.far, self.near)]
        sources = {way.source: way for way in ways}
        watched = [*sources, ended]
        while True:
            due = min((way.held[0][0] for way in ways if way.held), default=None)
            timeout = None if due is None else max(0.0, due - time.monotonic())
            ready, _, _ = select.select(watched, [], [], timeout)
            for source in ready:
                if source == ended:
                    if over(ended):
                        return
                else:
                    sources[source].take(self.half)
            for way in ways:
                way.hand_on()


class Way:
    """One direction: packets and the moment at which each has arrived."""

    BATCH = 64

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.held = collections.deque()

    def take(self, delay):
        """Takes what has been sent, but not so much at once that others come late for it."""
        for _ in range(self.BATCH):
            try:
                packet = os.read(self.source, 65_536)
            except BlockingIOError:
                return
            if len(self.held) < HELD_PACKETS:
                self.held.append((time.monotonic() + delay, packet))

    def hand_on(self):
        now = time.monotonic()
        while self.held and self.held[0][0] <= now:
            _, packet = self.held.popleft()
            try:
                os.write(self.sink, packet)
            except OSError as failed:
                # The device is not up yet or its queue is full: the packet is lost, as on any line.
                if failed.errno not in (errno.EIO, errno.EAGAIN, errno.ENOBUFS, errno.EINVAL):
                    raise


def device(name):
    """A TUN device in the namespace of this process; it goes when its descriptor does."""
    try:
        opened = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(opened, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    except OSError as failed:
        sys.exit(f"delay_line: no TUN device: /dev/net/tun: {failed.strerror}")
    return opened


def punctual():
    """Comes before programs that compute: a packet must not wait for the processor as well."""
    gc.disable()
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError:
        pass


def over(ended):
    """Whether this is the end; what somebody writes to our standard input is read and is none."""
    try:
        return os.read(ended, 4096) == b""
    except OSError:
        # A process's descriptor is ready when it has ended, and cannot be read.
        return True


def serve(line, command, environment):
    """Runs the command at this end, and the line as long as it runs."""
    library = ctypes.CDLL(None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def die_with_the_line():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    try:
        child = subprocess.Popen(command, env=os.environ | environment, preexec_fn=die_with_the_line)
    except OSError as failed:
        sys.exit(f"delay_line: {command[0]}: {failed.strerror}")
    try:
        line.carry_until(os.pidfd_open(child.pid))
    finally:
        if child.poll() is None:
            child.terminate()
        code = child.wait()
    return code if code >= 0 else 128 - code


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def prove(rtt):
    """Run at the near end: what the line does to datagrams one by one, to many of them, and to TCP."""
    far = ["nsenter", "--net", "--target", os.environ["DELAY_FAR_PID"], sys.executable, "-c", ECHO, FAR]
    with subprocess.Popen(far, stdout=subprocess.PIPE, text=True) as echo:
        try:
            udp, tcp = map(int, echo.stdout.readline().split())
            connects = [timed(lambda: socket.create_connection((FAR, tcp), 10).close()) for _ in range(20)]
            pings = datagrams(udp, 100, 0.0, rtt)
            rush = datagrams(udp, 5_000, 1.0, rtt)
        finally:
            echo.kill()
    found = {
        "line": os.environ["DELAY_LINE"],
        "asked_ms": rtt * 1000,
        "tcp_connect_ms": spread(connects),
        "datagram_ms": spread(pings),
        "rush_packets_a_second": 2 * len(rush),
        "rush_lost": 5_000 - len(rush),
        "rush_ms": spread(rush),
    }
    print(json.dumps(found, indent=1))
    medians = [found[name]["p50"] - rtt * 1000 for name in ("tcp_connect_ms", "datagram_ms", "rush_ms")]
    return 0 if all(0 <= late <= 1 for late in medians) and not found["rush_lost"] else 1


# Answers datagrams, and takes connections, at the far end.
ECHO = """
import socket, sys, threading
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
udp.bind((sys.argv[1], 0))
tcp = socket.create_server((sys.argv[1], 0))
def take():
    while True:
        tcp.accept()[0].close()
threading.Thread(target=take, daemon=True).start()
print(udp.getsockname()[1], tcp.getsockname()[1], flush=True)
while True:
    data, peer = udp.recvfrom(2048)
    udp.sendto(data, peer)
"""


def timed(work):
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def datagrams(port, count, over_seconds, rtt):
    """The round trips of datagrams: one after the other, or that many spread over some seconds."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    udp.connect((FAR, port))
    udp.settimeout(2 + rtt)
    trips = []

    def receive():
        try:
            while len(trips) < count:
                (sent,) = struct.unpack("d", udp.recv(64)[:8])
                trips.append(time.monotonic() - sent)
        except TimeoutError:
            pass

    if not over_seconds:
        for _ in range(count):
            udp.send(struct.pack("d56x", time.monotonic()))
            (sent,) = struct.unpack("d", udp.recv(64)[:8])
            trips.append(time.monotonic() - sent)
        return trips
    receiver = threading.Thread(target=receive)
    receiver.start()
    begun = time.monotonic()
    for number in range(count):
        ahead = begun + number * over_seconds / count - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        udp.send(struct.pack("d56x", time.monotonic()))
    receiver.join()
    return trips


def spread(times):
    ordered = sorted(times) or [float("nan")]
    shares = {"p50": 0.5, "p99": 0.99, "max": 1}
    return {name: round(1000 * ordered[int(share * (len(ordered) - 1))], 3) for name, share in shares.items()}


if __name__ == "__main__":
    sys.exit(main())
