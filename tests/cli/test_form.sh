#!/bin/bash
# Answers that --grammar, --json-schema and --json-object keep to a form, of run, chat and batch; the
# same on 1, 2 and 3 ranks; and what is said of files that are wrong. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
cp -r "$models/shakespeare" model && chmod -R u+w model
printf '{%% for message in messages %%}{{ message.content }} {%% endfor %%}' >model/chat_template.jinja
printf 'root ::= word (", " word){2} "."\nword ::= [a-z]{2,5}\n' >words.gbnf
printf '{"properties": {"age": {"type": "integer", "minimum": 18, "maximum": 99}}, "required": ["age"]}' >age.json
words='^[a-z]{2,5}(, [a-z]{2,5}){2}\.$'
draw="--temperature 1.5 --seed 3"
is_age() { python3 -c 'import json, sys; assert 18 <= json.loads(sys.argv[1])["age"] <= 99' "$1"; }

# shellcheck disable=SC2086 # words
sw run model "KING" --grammar words.gbnf $draw
expect 0 "run --grammar"
grep -Eq "$words" out || fail "run --grammar: the form"
said=$(cat out)
for n in 2 3; do
    # shellcheck disable=SC2086
    ranks $n run model "KING" --grammar words.gbnf $draw
    [ "$(tr -d '\r' <out)" = "$said" ] || fail "run --grammar: $n ranks say something else"
done
# shellcheck disable=SC2086
sw run model "KING" --json-schema age.json $draw
is_age "$(cat out)" || fail "run --json-schema"
sw run model "KING" --json-object -n 5
expect 0 "run --json-object"
[ "$(tr -d ' \n' <out | head -c 1)" = "{" ] || fail "run --json-object: the form"
grep -q 'cut after 5 tokens, before its form is complete; raise -n' err || fail "a cut is not told"

printf 'To be\nor not\n' | timeout -k 5 300 "$spillway" chat model --grammar words.gbnf >out 2>err
[ "$(grep -Ec "$words" out)" = 2 ] || fail "chat --grammar"

# batch: what a line says comes first, also that it wants no form.
cat >in.jsonl <<'LINES'
{"id": "usual", "prompt": "KING"}
{"id": "text", "prompt": "KING", "response_format": {"type": "text"}}
{"id": "object", "prompt": "KING", "response_format": {"type": "json_object"}}
{"custom_id": "words", "method": "POST", "url": "/v1/completions", "body": {"prompt": "KING", "grammar": "root ::= [A-Z]{3}"}}
LINES
sw batch model in.jsonl out.jsonl --json-schema age.json -n 40
expect 0 "batch --json-schema"
sw run model KING -n 40 --json
python3 - <<'PY' >seen 2>&1 || { cat seen; fail "batch: the forms"; }
import json, re

free = json.load(open("out"))["text"]
got = {}
for r in map(json.loads, open("out.jsonl")):
    got[r.get("custom_id", r["id"])] = r["text"] if "text" in r else r["response"]["body"]["choices"][0]["text"]
assert list(json.loads(got["usual"])) == ["age"], got
assert got["text"] == free, got
assert got["object"].lstrip()[0] == "{" and got["object"] != got["usual"], got
assert re.fullmatch("[A-Z]{3}", got["words"]), got
PY
sed 's/"created":[0-9]*//' out.jsonl | sort >one
ranks 2 batch model in.jsonl out2.jsonl --json-schema age.json -n 40
sed 's/"created":[0-9]*//' out2.jsonl | sort | cmp -s - one || fail "batch: two ranks say something else"
# The form is part of the job; a job that was begun before there were forms has none.
sw batch model in.jsonl out.jsonl --json-schema age.json -n 40
expect 0 "batch again"
sw batch model in.jsonl out.jsonl -n 40
one_message "batch without its form" '--json-schema is null, was "[0-9a-f]{32}"'
sw batch model in.jsonl free.jsonl -n 40
grep -v -e '--grammar' -e '--json-' free.jsonl.job | sed -z 's/,\(\n *}\)/\1/' >older && cp older free.jsonl.job
sw batch model in.jsonl free.jsonl -n 40
expect 0 "a job of an older version"

# refused CODE PATTERN ARGUMENT…
refused() {
    sw run model KING "${@:3}"
    expect "$1" "${*:3}"
    one_message "${*:3}" "$2"
}
printf 'root ::= "a" |\n  (b\nb := "c"\n' >bad.gbnf
printf '{"type": "object",\n "properties" 3}' >bad.json
printf '{"properties": {"a": {"multipleOf": 2}}}' >hard.json
refused 3 "bad.gbnf: line 3, column 3: expected '\)', found ':'" --grammar bad.gbnf
refused 3 "bad.json: not JSON: line 2, column 15: expected ':', found \"3\}\"" --json-schema bad.json
refused 3 'hard.json: at /properties/a: "multipleOf" in a schema is not supported' --json-schema hard.json
refused 3 '--grammar: none.gbnf: cannot be opened' --grammar none.gbnf
refused 2 'one of --grammar, --json-schema and --json-object' --grammar words.gbnf --json-object
refused 2 '--grammar takes the name of a file' --grammar 'root ::= "a"'
refused 2 '--json-schema takes the name of a file' --json-schema '{"type": "object"}'
refused 2 'words.gbnf' --grammar words.gbnf --timeline words.gbnf
echo "{" >model/tokenizer.json
refused 3 'tokenizer' --tokens 1,2 --grammar words.gbnf
finish
