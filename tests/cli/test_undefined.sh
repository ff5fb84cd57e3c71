#!/bin/bash
# Weights that give no numbers for some lines: these say so, the others are answered as if they were
# not there, also from the slots and beside the KV rows of such lines; nothing but such lines ends
# the job. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
cp -r "$models/shakespeare" damaged
# The embedding of id 500 becomes NaN.
python3 - <<'PY' || fail "cannot damage the weights"
import json, struct
with open("damaged/model.safetensors", "r+b") as f:
    n = struct.unpack("<Q", f.read(8))[0]
    entry = json.loads(f.read(n))["gpt_neox.embed_in.weight"]
    width = entry["shape"][1] * 2
    f.seek(8 + n + entry["data_offsets"][0] + 500 * width)
    f.write(b"\xc0\x7f" * (width // 2))
PY
words='the logits hold NaN or infinity'

sw run damaged --tokens 1,500 -n 3
expect 5 "run"
one_message "run" "$words"

# ask N BAD: N good prompts, and as many with the id behind which nothing is defined
ask() {
    local i good bad
    good='{"id": "good %d", "prompt": [%d, 2, 7, 9, 20, 21, 22], "max_tokens": 4}\n'
    bad='{"custom_id": "bad %d", "url": "/v1/completions", "body": {"max_tokens": 4, '
    bad+='"prompt": [%d, 500, 7, 9, 20, 21, 22, 23, 24, 25]}}\n'
    # shellcheck disable=SC2059 # the formats are above
    for ((i = 1; i <= $1; i++)); do
        printf "$good" "$i" "$i"
        [ -z "${2:-}" ] || printf "$bad" "$i" "$i"
    done
}
ask 6 >good.jsonl
ask 6 bad >in.jsonl
sw batch damaged good.jsonl want.jsonl
expect 0 "the good ones alone"
[ "$(grep -c '"finish_reason":"length"' want.jsonl)" = 6 ] || fail "the good ones alone: not answered"
for form in "1 --slots 1" "1" "2 --chunk 4"; do
    read -r n options <<<"$form"
    # shellcheck disable=SC2086 # words
    ranks "$n" batch damaged in.jsonl out.jsonl --fresh $options
    expect 0 "batch on $form"
    grep '"id":"good' out.jsonl | sort | cmp -s - <(sort want.jsonl) || fail "batch on $form: other answers"
    [ "$(grep -c "\"custom_id\":\"bad .*$words" out.jsonl)" = 6 ] || fail "batch on $form: not 6 errors"
done
sw batch damaged in.jsonl out.jsonl
expect 0 "once more"
[ "$(wc -l <out.jsonl)" = 12 ] || fail "once more: lines are done twice"

bad=$(echo 500 | "$spillway" tokens damaged --decode)
python3 - "$bad" >in.jsonl <<'PY'
import json, sys
for i, context in enumerate(("KING", "KING" + sys.argv[1], "QUEEN")):
    print(json.dumps({"id": f"c{i}", "context": context, "continuation": " and all"}))
    print(json.dumps({"id": f"m{i}", "context": context, "choices": [" and", " or"]}))
    print(json.dumps({"id": f"t{i}", "text": context + " and all the others"}))
PY
sw score damaged in.jsonl scores.jsonl --slots 2
expect 0 "score"
[ "$(grep -c '"id":"[cmt]1","error":"'"$words" scores.jsonl)" = 3 ] || fail "score: not 3 errors"
[ "$(grep -c '"id":"[cmt][02]".*"logprob":-[0-9.]*[,}]' scores.jsonl)" = 6 ] || fail "score: not 6 answers"

for i in $(seq 40); do echo "{\"prompt\": [$i, 500]}"; done >in.jsonl
sw batch damaged in.jsonl all_bad.jsonl
expect 5 "nothing else"
one_message "nothing else" "$words"
[ "$(wc -l <all_bad.jsonl)" -lt 16 ] || fail "nothing else: goes on"
finish
