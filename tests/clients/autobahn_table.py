#!/usr/bin/env python3
"""Reads the index of an Autobahn run: a line for each group of cases, and each case that is not
as it should be. Fails if there is one.

Good is OK, and INFORMATIONAL where the suite only looks. UNIMPLEMENTED is expected of 13.3 and 13.5,
whose offers ask for a compression window that is declined.
"""

import collections
import json
import sys

DECLINED = ("13.3.", "13.5.")


def is_good(name, case):
    behavior = {"OK", "INFORMATIONAL"}
    if name.startswith(DECLINED):
        behavior = {"UNIMPLEMENTED"}
    return case["behavior"] in behavior and case["behaviorClose"] in {"OK", "INFORMATIONAL"}


with open(sys.argv[1], encoding="utf-8") as index:
    agents = list(json.load(index).values())
if len(agents) != 1:
    sys.exit("the suite has not reached the node")
(cases,) = agents
groups = collections.defaultdict(collections.Counter)
bad = []
for name, case in sorted(cases.items(), key=lambda it: [int(part) for part in it[0].split(".")]):
    group = ".".join(name.split(".")[: 2 if name.startswith(("12.", "13.")) else 1])
    groups[group][case["behavior"]] += 1
    if not is_good(name, case):
        bad.append((name, case["behavior"], case["behaviorClose"], case["remoteCloseCode"]))
for group, counts in groups.items():
    print(f"{group:>5}  " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
for line in bad:
    print("not good:", *line)
print(f"{len(cases)} cases, {len(bad)} not good")
sys.exit(bool(bad) or not cases)
