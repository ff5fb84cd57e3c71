#!/bin/bash
# Layers from disk on a GPU that is simulated, or made of a CPU: a model that neither its memory nor
# the host's has room for gives the text that it gives in GPU memory, on one rank and on two, within
# the planned memory; in batch, killed and resumed, and in trace; it stops when it is asked to; and
# `plan` says the same as `run` does. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
not_with_asan "takes memory of its own"
library=$(dirname "$spillway")/tests/libspillway_simgpu.so
[ -e "$library" ] || { echo "skipped: $library was not built"; exit 77; }
export SPILLWAY_GPU_LIBRARY=$library SIMGPU_MEMORY=2G SIMGPU_CONTEXT=600M

cat >config.json <<'JSON'
{"model_type": "llama", "hidden_size": 384, "intermediate_size": 768, "num_hidden_layers": 7,
 "num_attention_heads": 4, "num_key_value_heads": 1, "vocab_size": 256,
 "max_position_embeddings": 512, "torch_dtype": "float16"}
JSON
mkdir model
cp "$models"/shakespeare/tokenizer*.json model
launch "$make_checkpoint" config.json model f16
expect 0 "writing the model"
# The buffers of a long chunk, which leave no room in host memory for the CPU's work.
small=(--context 256 --chunk 256)
# shellcheck disable=SC2054 # commas are meant
run=(run model --tokens 5,6,7 -n 2 "${small[@]}" --json)
layer=$(((2 * 384 * 384 + 2 * 96 * 384 + 3 * 768 * 384) * 2))
# room LAYERS: of the GPU, for so many layers less than all
room() { echo $((all + (256 << 20) - $1 * layer)); }
# from_disk WHAT: ids, memory and messages of a run with layers from disk.
from_disk() {
    expect 0 "$1"
    [ "$(run_ids)" = "$(cat in-memory)" ] || fail "$1: other ids"
    case " $(rank_field 'r["disk_on_gpu"] and r["layers"]["disk"] > 1')" in
    *False*) fail "$1: few layers on disk for the GPU" ;;
    esac
    case " $(rank_field 'r["peak_gpu_bytes"] == r["bytes"]["gpu"] - (600 << 20)')" in
    *False*) fail "$1: took $(rank_field 'r["peak_gpu_bytes"]') of $(rank_field 'r["bytes"]["gpu"]')" ;;
    esac
    grep -q 'layers from disk: .* GB in .* passes, .* GB/s' err || fail "$1: no rate of the disk"
    grep -Eq 'on the GPU .*layers on disk \(.*\) for the GPU' err || fail "$1: the placement"
}

sw "${run[@]}"
expect 0 "in GPU memory"
[ "$(rank_field 'r["layers"]["gpu"]')" = 7 ] || fail "in GPU memory: it is not"
run_ids >in-memory
all=$(rank_field 'r["bytes"]["gpu"]')

SIMGPU_DEVICES=2 ranks 2 "${run[@]}" --gpu-memory "$(room 6)" --host-memory 120MiB --slices 3,4
from_disk "two ranks"
limit=(--gpu-memory "$(room 4)" --host-memory 120MiB)
sw "${run[@]}" "${limit[@]}"
from_disk "one rank"
tiers=$(rank_field '[*r["layers"].values(), r["disk_on_gpu"], r["bytes"]]')

sw plan model --cluster "1x(gpu:2G host:8G disk:1GB/s)" "${small[@]}" "${limit[@]}" -p 3 -n 2 --json
expect 0 "plan"
python3 -c 'import json; s = json.load(open("out"))["stages"][0]
print([s["gpu"], s["host"], s["streamed"], s["disk"], s["disk_on_gpu"], s["bytes"]])' >planned
[ "$(cat planned)" = "$tiers" ] || fail "plan: $(cat planned), run: $tiers"

# The rest on a GPU made of a CPU, which is fast: what the program does is the same.
fake=$(dirname "$spillway")/tests/libspillway_fakegpu.so
[ -e "$fake" ] || { echo "skipped: $fake was not built"; finish; }
export SPILLWAY_GPU_LIBRARY=$fake SPILLWAY_FAKE_GPU=$((2 << 30))
sw "${run[@]}"
expect 0 "in the memory of a CPU's GPU"
run_ids >in-memory
sw "${run[@]}" --gpu-memory "$(room 4)" --host-memory 124MiB
from_disk "behind streamed layers"
[ "$(rank_field 'r["layers"]["streamed"]')" -gt 0 ] || fail "behind streamed layers: there are none"

sw trace model --tokens 5,6,7 --dump a.safetensors "${small[@]}"
expect 0 "trace in memory"
sw trace model --tokens 5,6,7 --dump b.safetensors "${small[@]}" "${limit[@]}"
expect 0 "trace from disk"
grep -q 'on disk .* for the GPU' err || fail "trace: the placement"
cmp a.safetensors b.safetensors || fail "trace: other logits"

for ((i = 1; i <= 60; i++)); do
    echo "{\"id\": \"$i\", \"prompt\": [$i, 4], \"max_tokens\": 8, \"temperature\": 0}"
done >lines
sw batch model lines wanted "${small[@]}" --slots 1
expect 0 "batch in memory"
"$spillway" batch model lines got "${small[@]}" "${limit[@]}" --slots 1 >out 2>err &
within 300 test -s got || fail "no result within minutes"
kill -KILL $!
wait $! 2>/dev/null
[ "$(wc -l <got)" -lt 60 ] || fail "the job was over before it was killed"
sw batch model lines got "${small[@]}" "${limit[@]}" --slots 1
expect 0 "batch, resumed"
grep -q 'on disk .* for the GPU' err || fail "batch: the placement"
[ "$(sort got)" = "$(sort wanted)" ] || fail "batch: other results than in memory"

# Asked to stop while it reads.
"$spillway" run model --tokens 5,6,7 -n 250 --ignore-end "${small[@]}" "${limit[@]}" >out 2>err &
within 300 test -s out || fail "no text within minutes"
kill -TERM $!
wait $!
code=$?
expect 75 "asked to stop"
finish
