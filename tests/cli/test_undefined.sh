#!/bin/bash
# Weights that give no numbers for some lines: these say so, the others are answered as if they were
# not there, also from the slots and beside the KV rows of such lines; nothing but such lines ends
# the job. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
cp -r "$models/shakespeare" damaged
cat >damage.py <<'PY'
"""damage.py MODEL TENSOR ROW: that row becomes NaN."""
import json, struct, sys
with open(sys.argv[1] + "/model.safetensors", "r+b") as f:
    n = struct.unpack("<Q", f.read(8))[0]
    entry = json.loads(f.read(n))[sys.argv[2]]
    begin, end = entry["data_offsets"]
    width = (end - begin) // entry["shape"][0]
    f.seek(8 + n + begin + int(sys.argv[3]) * width)
    f.write(b"\xff" * width)
PY
python3 damage.py damaged gpt_neox.embed_in.weight 500 || fail "cannot damage the weights"
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
    [ "$(grep -c "\"custom_id\":\"bad .*\"status_code\":500,.*$words.*\"type\":\"server_error\"" out.jsonl)" = 6 ] || fail "batch on $form: not 6 errors"
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

# On a GPU a layer is named besides, once.
cp -r "$models/tiny/gpt_neox_sequential" small
python3 damage.py small gpt_neox.embed_in.weight 5 || fail "cannot damage the weights"
for ids in 1,2 3,5 4,2 6,5; do echo "{\"id\": \"$ids\", \"prompt\": [$ids], \"max_tokens\": 1}"; done >in.jsonl
grep -v ',5"' in.jsonl >good.jsonl
library=$(dirname "$spillway")/tests/libspillway_simgpu.so
export SPILLWAY_GPU_LIBRARY=$library SIMGPU_MEMORY=2G
sw batch small good.jsonl gpu_want.jsonl --slots 1
expect 0 "the good ones alone, on a GPU"
sw batch small in.jsonl on_gpu.jsonl --slots 1
expect 0 "on a GPU"
[ "$(grep -c 'GPU 0 .* the output of layer .* not finite' err)" = 1 ] || fail "on a GPU: not one warning"
grep -v error on_gpu.jsonl | cmp -s - gpu_want.jsonl || fail "on a GPU: other answers"
[ "$(grep -c "$words" on_gpu.jsonl)" = 2 ] || fail "on a GPU: not 2 errors"
finish
