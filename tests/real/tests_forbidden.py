"""A target that the proxy forbids: programs try again and again, and the directory must not hear of each try."""
import re
import socket
import time

from harness import Entry, equal, read_head, squid_log, test, wait_for
from tests_schemes import KINDS, relay_for

TRIES = 20


def proofs(entries):
    """Those that the proxy has to judge: an NTLM type 1 is none."""
    first_leg = re.compile(r"^(NTLM|Negotiate) TlRMTVNTUAAB")
    return [entry for entry in entries if entry.auth != "-" and not first_leg.match(entry.auth)]


def page(relay, target):
    """The page of a refused CONNECT, to its end."""
    with socket.create_connection(relay.address, timeout=30) as connection:
        connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        head = read_head(connection)
        assert head.startswith("HTTP/1.1 403 "), head
        assert "X-Squid-Error: ERR_ACCESS_DENIED" in head, head
        return connection.makefile("rb").read()


@test("twenty tries at a forbidden host cost at most two log-ons at Squid {}",
      each=[kind for kind in KINDS if kind != "none"])
def forbidden_host(t, kind):
    relay = relay_for(t, kind)
    host = f"t{t.number}.blocked.test"
    begun = time.monotonic()
    for _ in range(TRIES):
        assert b"ERR_ACCESS_DENIED" in page(relay, f"{host}:443"), "the page is not Squid's own"
    took = time.monotonic() - begun
    assert took < 30, f"it took {took} s"
    entries = squid_log(kind, host)
    refused: list[Entry] = [entry for entry in entries if entry.status == 403]
    count = len(proofs(entries))
    t.notes.append(f"{TRIES} tries in {took:.1f} s: {count} log-ons, {len(refused)} times asked, "
                   f"{len({entry.connection for entry in refused})} connections")
    assert 1 <= count <= 2, entries
    records = wait_for("the audit records", lambda: found if len(found := relay.audit()) >= TRIES else None)
    equal({(record["end"], record["status"]) for record in records}, {("upstream_refused", 403)}, "in the audit records")


@test("twenty GETs of a forbidden host cost at most two log-ons at Squid {}", each=["ntlm", "ntlmclose", "wrap", "negotiate"])
def forbidden_get(t, kind):
    relay = relay_for(t, kind)
    host = f"t{t.number}.blocked.test"
    for _ in range(TRIES):
        equal(t.curl(relay, f"http://{host}/").status, 403, "status")
    count = len(proofs(squid_log(kind, host)))
    t.notes.append(f"{count} log-ons")
    assert 1 <= count <= 2, squid_log(kind, host)
