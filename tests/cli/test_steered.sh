#!/bin/bash
# Answers that a grammar, a schema or biases steer: the same lines of batch on 1, 2 and 3 ranks, with
# few slots and small chunks, each of its form; others beside them as without. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
cp -r "$models/shakespeare" model && chmod -R u+w model
cat >make.py <<'PY'
import json

person = {"type": "object", "properties": {
    "name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 18, "maximum": 99},
    "born": {"type": "string", "format": "date"}}, "required": ["name", "age", "born"]}
forms = [{"grammar": 'root ::= word (", " word){2} "."\nword ::= [a-z]{2,5}'},
         {"response_format": {"type": "json_schema", "json_schema": {"name": "p", "schema": person}}},
         {"response_format": {"type": "json_object"}},
         {"logit_bias": {"199": -100, "41": 5}}, {}]
for i in range(20):
    body = {"model": "m", "prompt": "KING HENRY: what is " + "the king and " * (i % 4), "max_tokens": 80,
            "temperature": i % 3, "seed": i, "logprobs": 0, **forms[i % 5]}
    print(json.dumps({"custom_id": f"{i}", "method": "POST", "url": "/v1/completions", "body": body}))
PY
cat >check.py <<'PY'
import datetime, json, re

for r in map(json.loads, open("out.jsonl")):
    assert r["error"] is None, r
    answer = r["response"]["body"]["choices"][0]
    kind, text = int(r["custom_id"]) % 5, answer["text"]
    if kind == 0:
        assert re.fullmatch(r"[a-z]{2,5}(, [a-z]{2,5}){2}\.", text), r
    elif kind == 1 and answer["finish_reason"] == "stop":
        p = json.loads(text)
        assert len(p["name"]) <= 12 and 18 <= p["age"] <= 99 and list(p) == ["name", "age", "born"], p
        datetime.date(max(int(p["born"][:4]), 4), int(p["born"][5:7]), min(int(p["born"][8:]), 28))
    elif kind == 2 and answer["finish_reason"] == "stop":
        assert isinstance(json.loads(text), dict), r
    elif kind == 3:
        assert "\n" not in text, r
PY
python3 make.py >in.jsonl
sw batch model in.jsonl out.jsonl
expect 0 "one rank"
python3 check.py >seen 2>&1 || { cat seen; fail "answers of their forms"; }
plain() { sed 's/"created":[0-9]*//' "$1" | sort; }
plain out.jsonl >one
for form in "2 --slots 3 --chunk 16" "3 -t 1"; do
    read -r n options <<<"$form"
    # shellcheck disable=SC2086 # words
    ranks "$n" batch model in.jsonl again.jsonl --fresh $options
    expect 0 "$form"
    plain again.jsonl | cmp -s - one || fail "$form: other answers"
done
finish
