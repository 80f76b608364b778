"""Our answers to the corpus of PAC scripts beside those of two other engines; docs/pac.md explains every difference."""
import json
import os
import re
import subprocess
from pathlib import Path

from harness import NPM, ROOT, equal, test

PAC = Path(__file__).resolve().parent / "pac"
ANSWERS = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "tmp" / "pac-answers.json"
ENGINES = {
    "pacparser": ["/usr/bin/python3", PAC / "with_pacparser.py"],
    "pac-resolver": [NPM / "node" / "bin" / "node", PAC / "with_pac_resolver.mjs", NPM],
}


@test("PAC: every difference from {} is explained in docs/pac.md", each=ENGINES)
def differences(t, engine):
    assert ANSWERS.exists(), "ours are not there: cargo test --test pac corpus"
    ours = json.loads(ANSWERS.read_text())
    run = subprocess.run(ENGINES[engine], input=json.dumps(ours), capture_output=True, text=True, timeout=300,
                         env={**os.environ, "TZ": "UTC"})
    assert run.returncode == 0, run.stderr
    theirs = json.loads(run.stdout)
    found, examples = {}, {}
    for name, answers in ours["answers"].items():
        differing = [(url, a, b) for (url, _), a, b in zip(ours["questions"], answers, theirs[name]) if a != b]
        if differing:
            found[name[:2]] = len(differing)
            examples[name[:2]] = differing[0]
    wanted = explained(engine)
    unexplained = {name: examples[name] for name in found if found[name] != wanted.get(name)}
    assert not unexplained, f"not explained (URL, ours, theirs): {unexplained}"
    equal(found, wanted, "explained, but there is no such difference any more")
    same = sum(a == b for name in theirs for a, b in zip(ours["answers"][name], theirs[name]))
    assert same > 6000, f"only {same} answers are the same"


def explained(engine):
    """`01 (3), 04 (3)` in the rows of the table that name the engine: script → number of URLs."""
    table = (ROOT / "docs" / "pac.md").read_text().split("## Where engines differ")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| ")]
    numbers = {}
    for row in rows:
        if engine in row[0].split(", "):
            for name, count in re.findall(r"(\d\d) \((\d+)\)", row[1]):
                assert name not in numbers, f"{engine} {name} stands in two rows"
                numbers[name] = int(count)
    assert numbers, f"the table does not name {engine}"
    return numbers
