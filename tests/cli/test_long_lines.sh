#!/bin/bash
# Memory that long lines take: a stated multiple of the line, whatever is in it. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
ln -s "$models/shakespeare" model

cat >make.py <<'PY'
"""Lines of 24 MB of every kind, and a tiny one."""
import json

n = 24 << 20
words = "words, as they are in usual texts of some kind. "
text = words * (n // len(words))


def write(name, line):
    with open(name + ".jsonl", "w") as f:
        f.write((line if isinstance(line, str) else json.dumps(line)) + "\n")


write("tiny", {"id": 1, "prompt": "a", "max_tokens": 1})
write("text", {"id": 1, "prompt": text, "max_tokens": 1})
write("ids", '{"id":1,"max_tokens":1,"prompt":[' + "1," * (n // 2) + "1]}")
write("column", '{"id":1,"max_tokens":1,"prompt":"a","mine":[' + "{}," * (n // 3) + "{}]}")
write("body", '{"custom_id":"1","url":"/v1/completions","body":{"max_tokens":1,"prompt":"a","metadata":[' +
      "[]," * (n // 3) + "1]}}")
write("messages", '{"id":1,"max_tokens":1,"messages":[' + "{}," * (n // 3) + "{}]}")
write("context", {"id": 1, "context": text[: n // 2], "continuation": text[: n // 2]})
write("choices", {"id": 1, "context": "a", "choices": ["b"] * (n // 5)})
PY
python3 make.py
cat >peak.py <<'PY'
"""peak.py COMMAND…: the KiB of memory that it takes at most."""
import os, subprocess, sys

child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=open("err", "w"))
_, status, usage = os.wait4(child.pid, 0)
assert status == 0, status
print(usage.ru_maxrss)
PY
line=$((24 * 1024))
: >out
base=$(python3 peak.py "$spillway" batch model tiny.jsonl tiny.out --quiet)
# most VERB NAME TIMES: beyond the tiny one's memory, so many times the line at most.
most() {
    local peak
    peak=$(python3 peak.py "$spillway" "$1" model "$2.jsonl" "$2.out" --quiet) || fail "$2"
    cp "$2.out" out
    awk -v name="$2" -v x=$(((peak - base) * 10 / line)) 'BEGIN{printf "%s: %.1f times the line\n", name, x / 10}'
    [ $((peak - base)) -le $(($3 * line)) ] || fail "$2: $peak KiB, $base without, a line has $line"
    [ "$(wc -l <"$2.out")" = 1 ] || fail "$2: no result"
}
most batch text 14
most batch ids 5
most batch column 2
most batch body 2
most batch messages 2
most score context 24
most score choices 2
grep -q '"text"' column.out && grep -q '"status_code":200' body.out || fail "columns: not passed over"
grep -q 'more than 1048576 values' messages.out || fail "messages: no limit"
grep -q 'prompt has 12582913 tokens' ids.out || fail "ids: not counted"
finish
