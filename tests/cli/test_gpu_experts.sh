#!/bin/bash
# A Mixtral that a GPU has no room for runs there with some of its experts, and is sent the others
# from host memory or from disk: the text of a run in GPU memory whatever is kept, within the planned
# memory, with the hits that the plan expects where popularity is known; in score, trace and batch,
# killed and resumed; `plan` says the same as `run` does, and what does not fit is said before
# loading. The GPU is made of a CPU. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
not_with_asan "takes memory of its own"
fake=$(dirname "$spillway")/tests/libspillway_fakegpu.so
[ -e "$fake" ] || { echo "skipped: $fake was not built"; exit 77; }
# A bus that beats any CPU, so that streaming does.
export SPILLWAY_GPU_LIBRARY=$fake SPILLWAY_FAKE_GPU=$((2 << 30)) SPILLWAY_FAKE_BUS=200e9

cat >config.json <<'JSON'
{"model_type": "mixtral", "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 12,
 "num_local_experts": 8, "num_experts_per_tok": 2,
 "num_attention_heads": 6, "num_key_value_heads": 2, "vocab_size": 1024,
 "max_position_embeddings": 512, "torch_dtype": "float16"}
JSON
mkdir model
cp "$models"/shakespeare/tokenizer*.json model
launch "$make_checkpoint" config.json model f16
expect 0 "writing the model"
small=(--context 64 --chunk 16)
run=(run model --tokens "$(seq -s, 3 30)" -n 12 "${small[@]}" --json)

# by_expert WHAT FIELD: ids and memory of a run whose GPU keeps some experts, and FIELD layers.
by_expert() {
    expect 0 "$1"
    [ "$(run_ids)" = "$(cat in-memory)" ] || fail "$1: other ids"
    [ "$(rank_field "r['layers']['$2'] > 0 and r['experts']['on_gpu']")" = True ] ||
        fail "$1: $(rank_field '[r["layers"], r.get("experts")]')"
    [ "$(rank_field 'r["peak_gpu_bytes"] == r["bytes"]["gpu"] - (600 << 20)')" = True ] ||
        fail "$1: took $(rank_field 'r["peak_gpu_bytes"]') of $(rank_field 'r["bytes"]["gpu"]')"
    grep -Eq 'experts on the GPU: .*% hits \(the plan: .*%\), .* copied and .* read for each token' err ||
        fail "$1: says nothing of the cache"
}

sw "${run[@]}"
expect 0 "in GPU memory"
[ "$(rank_field 'r["layers"]["gpu"]')" = 12 ] || fail "in GPU memory: it is not"
run_ids >in-memory
sw "${run[@]}" --routes routes.jsonl
expect 0 "--routes"

before=
for memory in 960 1060; do
    sw "${run[@]}" --gpu-memory ${memory}MiB
    by_expert "$memory MiB" streamed
    copied=$(rank_field 'int(r["experts"]["copied_bytes_per_token"])')
    [ "$(rank_field 'r["experts"]["read_bytes_per_token"]')" = 0.0 ] || fail "$memory MiB: reads files"
    [ -z "$before" ] || [ "$copied" -lt "$before" ] || fail "$memory MiB: $copied copied, with less $before"
    before=$copied
    grep -q 'streamed by expert, . of each kept' err || fail "$memory MiB: the placement"
done
tiers=$(rank_field '[*r["layers"].values(), r["experts"]["cached"], r["bytes"]]')
launch "$spillway" probe --json
cp out here.json
sw plan model --cluster here.json "${small[@]}" --gpu-memory 1060MiB -p 28 -n 12 --json
expect 0 "plan"
python3 -c 'import json; s = json.load(open("out"))["stages"][0]
print([s["gpu"], s["host"], s["streamed"], s["disk"], s["experts"]["cached"], s["bytes"]])' >planned
[ "$(cat planned)" = "$tiers" ] || fail "plan: $(cat planned), run: $tiers"
sw plan model --cluster here.json "${small[@]}" --gpu-memory 1060MiB -p 28 -n 12
grep -Eq "keeps . of each streamed layer's on its GPU and copies what else is chosen: .*% hits" out ||
    fail "plan: $(cat out)"

sw "${run[@]}" --gpu-memory 1000MiB --popularity routes.jsonl
by_expert "--popularity" streamed
awk -v a="$(rank_field 'r["experts"]["predicted_hit_rate"]')" -v b="$(rank_field 'r["experts"]["hit_rate"]')" \
    'BEGIN { exit !(a > 0.3 && a - b < 0.1 && b - a < 0.1) }' ||
    fail "--popularity: $(rank_field 'r["experts"]')"

limit=(--gpu-memory 1000MiB --host-memory 132MiB)
sw "${run[@]}" "${limit[@]}"
by_expert "from disk" disk
[ "$(rank_field 'r["disk_on_gpu"] and r["experts"]["read_bytes_per_token"] > 0')" = True ] || fail "from disk: $(rank_field r)"
[ "$(rank_field 'r["peak_host_bytes"] > 0')" = True ] || fail "from disk: no peak"
sw "${run[@]}" --gpu-memory 1000MiB --host-memory 100MiB
expect 4 "too little host memory"
one_message "too little host memory" '1 rank has 744 MiB of GPU and 100 MiB of host memory'

sw trace model --tokens 5,6,7 --dump a.safetensors "${small[@]}"
expect 0 "trace in memory"
for limits in "--gpu-memory 1000MiB" "${limit[*]}"; do
    # shellcheck disable=SC2086 # several words
    sw trace model --tokens 5,6,7 --dump b.safetensors "${small[@]}" $limits
    expect 0 "trace"
    grep -q 'by expert, . of each kept' err || fail "trace, $limits: the placement"
    cmp a.safetensors b.safetensors || fail "trace, $limits: other logits"
done
echo '{"id": "a", "context": "To be", "continuation": ", or not"}' >pairs
sw score model pairs wanted "${small[@]}"
expect 0 "score in memory"
sw score model pairs got "${small[@]}" "${limit[@]}"
expect 0 "score"
grep -q 'by expert, . of each kept' err || fail "score: the placement"
cmp wanted got || fail "score: other results"

for ((i = 1; i <= 40; i++)); do
    echo "{\"id\": \"$i\", \"prompt\": [$i, 4], \"max_tokens\": 8, \"temperature\": 0}"
done >lines
sw batch model lines answers "${small[@]}" --slots 2
expect 0 "batch in memory"
"$spillway" batch model lines part "${small[@]}" --gpu-memory 1000MiB --slots 2 >out 2>err &
within 300 test -s part || fail "no result within minutes"
kill -KILL $!
wait $! 2>/dev/null
[ "$(wc -l <part)" -lt 40 ] || fail "the job was over before it was killed"
sw batch model lines part "${small[@]}" --gpu-memory 1000MiB --slots 2
expect 0 "batch, resumed"
grep -q 'streamed by expert' err || fail "batch: the placement"
[ "$(sort part)" = "$(sort answers)" ] || fail "batch: other results than in memory"
finish
