#!/bin/bash
# batch and score of layers that keep something else than keys and values: latents (DeepSeek) and states of a
# fixed size (Qwen3-Next, Qwen3.5). Every answer is what run gives, and the same on any ranks, slots and chunks,
# though prompts begin alike. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"

head="KING HENRY: Once more unto the breach"
cat >in.jsonl <<EOF
{"id": "a", "prompt": "$head, dear friends", "max_tokens": 12, "temperature": 0, "ignore_end": true}
{"id": "b", "prompt": "$head, once", "max_tokens": 9, "temperature": 0, "ignore_end": true}
{"id": "c", "prompt": "ROMEO:", "max_tokens": 20, "temperature": 0, "ignore_end": true}
{"id": "d", "prompt": "$head, dear friends, once", "max_tokens": 7, "temperature": 0, "ignore_end": true}
{"id": "e", "prompt": "$head", "max_tokens": 15, "temperature": 0.8, "seed": 5, "ignore_end": true}
EOF
cat >pairs.jsonl <<EOF
{"id": "p", "context": "$head", "continuation": ", dear friends"}
{"id": "q", "context": "$head", "continuation": ", once more"}
{"id": "r", "context": "$head", "choices": [" friends", " now", ", dear friends"]}
{"id": "s", "text": "$head, dear friends, once more"}
EOF
# shared: how many ids of prompts the last batch took from a slot
shared() { grep -oE '\([0-9]+ shared\)' err | grep -oE '[0-9]+'; }
for name in deepseek_v3 deepseek_v2_lite qwen3_next qwen3_5_moe; do
    mkdir "$name"
    sed 's/"vocab_size": [0-9]*/"vocab_size": 280/' "$models/tiny/$name/config.json" >"$name/config.json"
    ln -s "$models/scores/llama"/tokenizer* "$name"
    model=("$name" --weights-from random --context 100)
    sw batch "${model[@]}" in.jsonl one.jsonl --fresh
    expect 0 "batch of $name"
    [ "$(shared)" -gt 40 ] || fail "batch of $name: $(shared) ids shared"
    sort one.jsonl >one
    for id in a b c d e; do
        python3 -c "import json
l = [l for l in map(json.loads, open('in.jsonl')) if l['id'] == '$id'][0]
open('prompt', 'w').write(l['prompt'])
print('-n', l['max_tokens'], '--temperature', l['temperature'], '--seed', l.get('seed', 0))" >options
        # shellcheck disable=SC2046 # words
        sw run "${model[@]}" -f prompt --ignore-end --json $(cat options)
        expect 0 "run of $name"
        python3 -c "import json; r = json.load(open('out'))
a = [l for l in map(json.loads, open('one.jsonl')) if l['id'] == '$id'][0]
for k in ('text', 'ids', 'prompt_tokens'): assert a[k] == r[k], (k, a[k], r[k])" || fail "$name: $id is not as run has it"
    done
    sw score "${model[@]}" pairs.jsonl score.jsonl --fresh
    expect 0 "score of $name"
    grep -q '"error"' score.jsonl && fail "score of $name: $(cat score.jsonl)"
    sort score.jsonl >numbers
    for form in "2" "2 --chunk 7 --slots 2" "3 --slots 1"; do
        read -r n options <<<"$form"
        # shellcheck disable=SC2086 # words
        ranks "$n" batch "${model[@]}" in.jsonl again.jsonl --fresh $options
        expect 0 "batch of $name on $form"
        sort again.jsonl | cmp -s - one || fail "batch of $name on $form: other answers"
        # shellcheck disable=SC2086 # words
        ranks "$n" score "${model[@]}" pairs.jsonl again.jsonl --fresh $options
        expect 0 "score of $name on $form"
        sort again.jsonl | cmp -s - numbers || fail "score of $name on $form: other numbers"
    done
    # Alone, a line has the numbers that it has in company.
    grep '"r"' pairs.jsonl >alone.jsonl
    sw score "${model[@]}" alone.jsonl again.jsonl --fresh
    cmp -s again.jsonl <(grep '"id":"r"' score.jsonl) || fail "score of $name: other numbers alone"
done
finish
