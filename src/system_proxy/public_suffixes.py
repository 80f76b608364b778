#!/usr/bin/env python3
"""Renews public_suffixes.txt beside it: public_suffixes.py public_suffix_list.dat"""

import pathlib
import sys


def a_label(label):
    return label if label.isascii() else "xn--" + label.encode("punycode").decode()


def lines(rules):
    """One line for each domain that has public suffixes right below it."""
    below = {}
    for rule in rules:
        name = ".".join(map(a_label, rule.lstrip("!").split(".")))
        label, dot, above = name.partition(".")
        if dot:
            below.setdefault(above, set()).add("!" * rule.startswith("!") + label)
    for above in sorted(below, key=lambda name: name.split(".")[::-1]):
        yield " ".join([above, *sorted(below[above])])


def main():
    source = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    rules = [line.split()[0] for line in source if line.strip() and not line.startswith("//")]
    kept = pathlib.Path(__file__).with_suffix(".txt")
    head = [line for line in kept.read_text().splitlines() if line.startswith("#")]
    kept.write_text("\n".join([*head, *lines(rules)]) + "\n")


if __name__ == "__main__":
    main()
