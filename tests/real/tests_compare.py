"""The comparison with other relays, in its short form: no figure of it means anything, only that all of it works."""
import json
import os
import subprocess
from xml.etree import ElementTree

from harness import HALLPASS, ROOT, test

# What cannot be missing: hallpass takes part in every case. Peers may fail where they are not up to a case.
OURS = "hallpass"


def program():
    """The bench as cargo built it for `tests/run real`, or now."""
    command = ["cargo", "build", "--offline", "--quiet", "--bench", "compare", "--message-format=json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    return next(message["executable"] for message in messages
                if message.get("executable") and message["target"]["name"] == "compare")


@test("bench/compare in its short form measures hallpass and its peers in every case, with every byte right", alone=True)
def compare(t):
    bench = program()
    px = ROOT / "target" / "bench" / "px" / "bin" / "px"
    environment = dict(os.environ, **({"BENCH_PX": str(px)} if px.exists() else {}))
    cases = subprocess.run([bench, "--list"], capture_output=True, text=True, check=True).stdout.split()
    found = t.dir / "results.json"
    done = subprocess.run([bench, "--short", "--binary", HALLPASS, "--json", found], env=environment,
                          capture_output=True, text=True, timeout=300)
    results = json.loads(found.read_text())
    t.notes.append(f"{len(cases)} cases, {', '.join(results['relays'])}; without {', '.join(results['missing']) or 'none'}")
    assert done.returncode == 0, done.stderr
    for case in cases:
        rows = [figure for figure in results["figures"] if figure["case"] == case and figure["relay"] == OURS]
        assert rows, f"{case} has no row of {OURS}: {done.stderr}"
        assert all(figure["median"] >= 0 for figure in rows), rows
        assert f"\n{case} " in done.stdout, done.stdout
    compared = {figure["relay"] for figure in results["figures"]}
    assert {"cntlm", "haproxy", "squid", "tinyproxy", "straight"} <= compared, f"compared: {compared}: {done.stderr}"
    wrong = [failure for failure in results["failures"] if "wrong" in failure["what"] or "changed" in failure["what"]]
    assert not wrong, wrong
    shown_in_a_picture(bench, found, t.dir / "results.svg")


def shown_in_a_picture(bench, results, picture):
    subprocess.run([bench, "picture", results, picture], check=True, timeout=30)
    svg = "{http://www.w3.org/2000/svg}"
    root = ElementTree.parse(picture).getroot()
    words = [text.text for text in root.iter(f"{svg}text")]
    for title, relay in [("NTLM CONNECT, 16 clients", "cntlm"), ("CONNECT, no log-in, 16 clients", "haproxy")]:
        bars = words[words.index(title) + 1:]
        assert bars[0].startswith(f"{OURS} ") and any(bar.startswith(f"{relay} ") for bar in bars), bars
    bars = [rect for rect in root.iter(f"{svg}rect") if rect.get("class") in ("ours", "theirs")]
    assert len(bars) > 20 and all(float(bar.get("width")) > 1 for bar in bars), len(bars)


@test("bench/compare picture says what is wrong with its file", alone=True)
def no_picture(t):
    empty = t.dir / "empty.json"
    for text, said in [("{}", "missing field"), ('{"relays": ["hallpass"], "figures": [], "failures": [], "missing": []}', "nothing in it")]:
        empty.write_text(text)
        done = subprocess.run([program(), "picture", empty, t.dir / "none.svg"], capture_output=True, text=True, timeout=30)
        assert done.returncode != 0 and said in done.stderr and "empty.json" in done.stderr, done.stderr
        assert not (t.dir / "none.svg").exists()


@test("bench/compare names a relay that does not come up, and ends as failed if it is hallpass", alone=True)
def named(t):
    found = t.dir / "results.json"
    done = subprocess.run([program(), "--short", "--case", "get", "--relay", "hallpass,straight", "--binary", "/bin/false", "--json", found],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode != 0, done.stdout
    assert "FAILED: get: hallpass" in done.stdout, done.stdout
    assert {figure["relay"] for figure in json.loads(found.read_text())["figures"]} == {"straight"}, done.stdout
