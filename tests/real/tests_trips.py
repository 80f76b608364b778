"""How many messages a tunnel costs, and what a log-in begun ahead means for a proxy with few helpers."""
import time

from harness import equal, passed, squid_log, test
from layout import ACCOUNTS

ROUNDS = 6


def tunnels(t, relay, count=ROUNDS):
    """One after the other, each with something in it."""
    for n in range(count):
        got = t.curl(relay, f"https://{t.site}/hello?{n}")
        equal((got.status, got.connect), (200, 200), got.stderr or f"tunnel {n}")


@test("a tunnel through Squid {} costs no message more than its log-in needs", each=["none", "ntlm", "negotiate"])
def messages(t, kind):
    if kind == "negotiate":
        t.kinit("alice")
        relay, first, next_ones = t.relay(kind), 2, 1
    elif kind == "ntlm":
        relay, first, next_ones = t.relay(kind, user="CORP\\alice", password=ACCOUNTS["alice"]), 3, 2
    else:
        relay, first, next_ones = t.relay(kind), 1, 1
    tunnels(t, relay)
    passed(kind, t.site, ROUNDS)
    entries = squid_log(kind, t.site)
    equal(len(entries), first + (ROUNDS - 1) * next_ones, "messages")
    # All of one log-in go over one connection.
    equal(len({entry.connection for entry in entries}), ROUNDS, "connections that said something")


@test("Squid with five NTLM helpers never has a log-in begun ahead, and a second client logs in at once")
def helpers_left_alone(t):
    first = t.relay("ntlm5", user="CORP\\alice", password=ACCOUNTS["alice"], keys="warm_handshakes = 1\n")
    second = t.relay("ntlm5", user="CORP\\bob", password=ACCOUNTS["bob"], keys="warm_handshakes = 1\n")
    slowest = 0
    for n in range(ROUNDS):
        tunnels(t, first, 2)
        began = time.monotonic()
        tunnels(t, second, 1)
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 1.5, f"somebody waited for a helper: {slowest:.2f} s"
    passed("ntlm5", t.site, 3 * ROUNDS)
    # Two were asked what they want; from then on each message has its answer, and none is left over.
    entries = squid_log("ntlm5", t.site)
    equal([len([entry for entry in entries if entry.status == 407 and entry.scheme == scheme]) for scheme in ("none", "NTLM")],
          [2, 3 * ROUNDS], "messages that were answered by a challenge")
