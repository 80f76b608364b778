"""Which targets five clients keep from the proxy, against the table that the documents and our own list are held to."""
import subprocess
import sys

from harness import NPM, ROOT, test

TABLE = ROOT / "tests" / "data" / "no_proxy.tsv"
WORLD = ROOT / "tests" / "real" / "no_proxy" / "world.py"


@test("curl, wget, Go, requests and undici read every NO_PROXY as the table says")
def clients(t):
    table = TABLE.read_text()
    done = subprocess.run(["unshare", "--net", "--mount", "--propagation", "private", sys.executable, WORLD, NPM / ".bin" / "node"],
                          input=table, env=t.env(GOCACHE=str(ROOT / "target" / "real" / "go")), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    seen, wanted = done.stdout.splitlines(), table.splitlines()
    assert len(wanted) > 100 and len(seen) == len(wanted), f"{len(seen)} lines for {len(wanted)}"
    # Versions differ from machine to machine; what they do is what counts.
    wrong = [f"{found}\n  not {line}" for found, line in zip(seen, wanted) if found != line and not line.startswith("#")]
    versions = " ".join(line for line in seen if line.startswith("#"))
    assert not wrong, f"{versions}\n" + "\n".join(wrong)
