#!/usr/bin/env python3
"""Makes an entry of docs/gpu-log.md of what the steps on a GPU left (tests/gpu/steps.sh).

    log.py results.jsonl            prints it
    log.py results.jsonl --into docs/gpu-log.md    puts it at the top of the page's Log
"""
import json
import sys

NOTHING = "Nothing yet: all of it was run on the simulated GPU only (`ctest -L simgpu`).\n"


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def ending(row):
    if row["code"] == 0:
        return "%d s" % row["seconds"]
    if row["code"] == -1:
        return "left out: no time was left"
    if row["code"] == 77:
        return "skipped"
    return "exit code %d after %d s" % (row["code"], row["seconds"])


def entry(rows):
    out = []
    for row in rows:
        if "card" in row:
            out.append("### %s, %s, step %s\n" % (row["date"], row["card"], row["step"]))
            out.append("Commit %s; %s.\n" % (row["commit"], row["glibc"]))
            continue
        out.append("`%s` (%s):\n" % (row["command"], ending(row)))
        if row["output"]:
            out.append("```\n%s\n```\n" % "\n".join(row["output"]))
    return "\n".join(out)


def insert(page, text):
    with open(page, encoding="utf-8") as file:
        old = file.read()
    head = "## Log\n\n"
    if head not in old:
        sys.exit("%s: there is no Log section" % page)
    new = old.replace(NOTHING, "").replace(head, head + text + "\n", 1)
    with open(page, "w", encoding="utf-8") as file:
        file.write(new)


def main(arguments):
    if len(arguments) == 1:
        print(entry(read(arguments[0])), end="")
    elif len(arguments) == 3 and arguments[1] == "--into":
        insert(arguments[2], entry(read(arguments[0])))
    else:
        sys.exit(__doc__)


main(sys.argv[1:])
