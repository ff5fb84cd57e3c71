#!/bin/bash
# score: numbers equal to lm-evaluation-harness's (tests/models/make_scores.py) on 1, 2 and 3
# ranks and with few slots and small chunks, to 1e-4; bad lines; resuming. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"

cat >compare.py <<'PY'
"""compare.py EXPECTED ACTUAL: every number of the harness, within 1e-4 (and 1e-7 of large sums)."""
import json, sys

read = lambda path: {r["id"]: r for r in map(json.loads, open(path))}
expected, actual = read(sys.argv[1]), read(sys.argv[2])
assert expected.keys() == actual.keys(), expected.keys() ^ actual.keys()
assert len(open(sys.argv[2]).readlines()) == len(actual), "an id twice"
worst = 0
for name, e in expected.items():
    a = actual[name]
    assert "error" not in a, a
    for x, y in zip(e.get("choices", [e]), a.get("choices", [a]), strict=True):
        difference = abs(x["logprob"] - y["logprob"])
        worst = max(worst, difference)
        assert difference <= max(1e-4, 1e-7 * abs(x["logprob"])), (name, x, y)
        assert x.get("greedy") == y.get("greedy"), (name, x, y)
    for key in ("best", "best_per_char", "tokens"):
        assert key not in e or e[key] == a[key], (name, key, e[key], a[key])
    if isinstance(a.get("tokens"), list):
        assert abs(sum(t["logprob"] for t in a["tokens"]) - a["logprob"]) < 1e-5, a
        assert a["greedy"] == all(t["greedy"] for t in a["tokens"]), a
print(f"{len(expected)} lines, worst difference {worst:.1e}")
PY
compare() { python3 compare.py "$1" "$2" >seen 2>&1 && echo "$3: $(cat seen)" || { cat seen; fail "$3"; }; }

for name in shakespeare gptj llama; do
    mkdir "$name"
    case $name in
    shakespeare) ln -s "$models/shakespeare"/* "$name" ;;
    *) ln -s "$models/tiny/$name"/* "$models/scores/$name"/tokenizer* "$name" ;;
    esac
    given=$models/scores/$name/in.jsonl
    sw score "$name" "$given" "$name.jsonl" -w f32
    expect 0 "score $name"
    compare "$models/scores/$name/expected.jsonl" "$name.jsonl" "$name"
    sort "$name.jsonl" >one
    for form in "1 --slots 1" "2 --chunk 16 --slots 2" "3"; do
        read -r n options <<<"$form"
        # shellcheck disable=SC2086 # words
        ranks "$n" score "$name" "$given" "$name.again.jsonl" -w f32 --fresh $options
        expect 0 "score $name, $form"
        sort "$name.again.jsonl" | cmp -s - one || fail "score $name, $form: other numbers"
    done
done

# What is left after a torn end is done, with the same numbers.
given=$models/scores/shakespeare/in.jsonl
head -c 2000 shakespeare.jsonl >rest.jsonl
cp shakespeare.jsonl.job rest.jsonl.job
ranks 2 score shakespeare "$given" rest.jsonl -w f32 --json
expect 0 "score, resumed"
sort rest.jsonl | cmp -s - <(sort shakespeare.jsonl) || fail "score, resumed: other numbers"
python3 -c "import json; r = json.load(open('out'))
assert 0 < r['resumed'] < r['lines'] == r['done'] and r['failed'] == 0" || fail "score --json"

cat >bad.jsonl <<'LINES'
{"id": "good", "context": "a", "continuation": " b"}
{"id": "none", "context": "a"}
{"id": "both", "context": "a", "continuation": "b", "text": "c"}
{"id": "empty", "context": "a", "continuation": ""}
{"id": "number", "context": 5, "continuation": "b"}
{"id": "choices", "context": "a", "choices": []}
{"id": "choice", "context": "a", "choices": ["a", 5]}
{"id": "list", "context": "a", "choices": "ab"}
{"id": "bare", "continuation": " b", "choices": null}
{"id": "null", "context": null, "choices": [" b"], "delimiter": null}
{"id": "nothing", "context": "", "continuation": " b"}
{"custom_id": "api", "method": "POST", "url": "/v1/completions", "body": {"prompt": "a"}}
not JSON
LINES
printf '{"id": "long", "context": "a", "continuation": "%s"}\n' "$(printf 'word %.0s' {1..400})" >>bad.jsonl
sw score shakespeare bad.jsonl bad.out.jsonl
expect 0 "bad lines"
python3 - <<'PY' || fail "bad lines: not as expected"
import json
lines = [json.loads(l) for l in open("bad.out.jsonl")]
by_id = {l.get("custom_id", l["id"]): l for l in lines}
assert len(lines) == len(by_id) == 14, by_id.keys()
assert by_id.pop("good")["logprob"] < 0
alone = by_id.pop("nothing")["logprob"]
assert by_id.pop("bare")["logprob"] == by_id.pop("null")["choices"][0]["logprob"] == alone
api = by_id.pop("api")["response"]
assert api["status_code"] == 400 and "has no scoring" in api["body"]["error"]["message"], api
words = {"none": "neither", "both": "has both", "empty": "nothing to score", "number": "not a whole number",
         "choices": "has 0 texts", "choice": "item 1 must be a text, not a whole", "list": "not a text",
         "line-13": "not a JSON", "long": "--context, if"}
assert by_id.keys() == words.keys(), by_id.keys()
for name, word in words.items():
    assert word in by_id[name]["error"], by_id[name]
PY

# A text that could be meant to be the context, under another name.
cat >other.jsonl <<'LINES'
{"id": "prompt", "prompt": "ROMEO:", "continuation": " b"}
{"id": "question", "question": "ROMEO:", "choices": [" b", " c"]}
{"id": "input", "input": "ROMEO:", "continuation": " b", "context": null}
{"id": "messages", "messages": [{"role": "user", "content": "ROMEO:"}], "continuation": " b"}
{"id": "said", "prompt": "ROMEO:", "context": "", "continuation": " b"}
{"id": "there", "prompt": "x", "context": "ROMEO:", "continuation": " b", "label": "y"}
{"id": "numbers", "continuation": " b", "label": 3}
{"id": "text", "text": "ROMEO:", "label": "y"}
{"id": "alike", "context": "ROMEO:", "choices": [" b", " b"], "label": null}
LINES
sw score shakespeare other.jsonl other.out.jsonl
expect 0 "texts under other names"
python3 - <<'PY' || fail "texts under other names: not as expected"
import json
by_id = {l["id"]: l for l in map(json.loads, open("other.out.jsonl"))}
assert len(by_id) == 9
for name in ("prompt", "question", "input", "messages"):
    assert f'has "{name}" but no "context"' in by_id[name]["error"], by_id[name]
assert all("error" not in by_id[name] for name in ("said", "there", "numbers", "text", "alike"))
assert [by_id["alike"]["best" + by] for by in ("", "_per_char", "_per_byte")] == [0, 0, 0], by_id["alike"]
assert by_id["said"]["logprob"] == by_id["numbers"]["logprob"] != by_id["there"]["logprob"]
PY
grep -qF 'spillway: 3 lines have "label", which score does not know' err || fail "columns: no warning"
grep -qF 'spillway: 2 lines have "prompt", which score does not know' err || fail "columns: no warning of prompt"
finish
