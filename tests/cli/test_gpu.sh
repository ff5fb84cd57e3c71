#!/bin/bash
# Runs with a GPU that is made of a CPU (tests/tools/fake_gpu_library.c): the plan is carried out,
# the same text comes out, what was planned was taken, and memory that vanishes is planned around
# once. $1: the program.
set -uo pipefail
spillway=$1
. "$(dirname "$0")/common.sh"
library=$(dirname "$spillway")/tests/libspillway_fakegpu.so
[ -e "$library" ] || { echo "skipped: $library was not built"; exit 77; }
export SPILLWAY_GPU_LIBRARY=$library

cat >config.json <<'JSON'
{"model_type": "llama", "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 6,
 "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 1000,
 "max_position_embeddings": 512, "torch_dtype": "float32"}
JSON
G=$((1 << 30))
# shellcheck disable=SC2054 # commas are meant
run=(run . --weights-from random --tokens 5,6,7,8,9,10,11,12 -n 12 --json --quiet --context 256 --chunk 32)

# field NAME: the first number of this name in the JSON that came out
field() { grep -o "\"$1\": [0-9]*" out | head -n 1 | grep -o '[0-9]*$'; }
texts() { tr -d ' \n' <out | grep -o '"ids":\[[^]]*\]'; }
# taken WHAT: of the GPU what was planned but for the context, and nothing else
taken() {
    local planned=$1 what=$2
    [ "$(field peak_gpu_bytes)" = $((planned - (600 << 20))) ] || fail "$what: took $(field peak_gpu_bytes)"
}

SPILLWAY_FAKE_GPU=0 sw "${run[@]}"
expect 0 "without a GPU"
plain=$(texts)
[ -n "$plain" ] || fail "no ids"
[ "$(field peak_gpu_bytes)" = 0 ] || fail "without a GPU: took GPU memory"

SPILLWAY_FAKE_GPU=$((4 * G)) sw "${run[@]}"
expect 0 "all on the GPU"
[ "$(texts)" = "$plain" ] || fail "all on the GPU: other ids"
[ "$(tr -d ' \n' <out | grep -c '"layers":{"gpu":6,"host":0,"streamed":0,"disk":0}')" = 1 ] || fail "all on the GPU"
all=$(tr -d ' \n' <out | grep -o '"bytes":{"gpu":[0-9]*' | grep -o '[0-9]*$')
taken "$all" "all on the GPU"

# A cap that leaves out two layers and more: they are the CPU's.
layer=$((256 * (256 + 2 * 64) * 4 + 256 * 256 * 4 + 3 * 256 * 768 * 4))
SPILLWAY_FAKE_GPU=$((4 * G)) sw "${run[@]}" --gpu-memory $((all + (256 << 20) - 2 * layer))
expect 0 "a cap"
[ "$(texts)" = "$plain" ] || fail "a cap: other ids"
tr -d ' \n' <out | grep -Eq '"layers":\{"gpu":[34],"host":[23],"streamed":0,"disk":0\}' || fail "a cap: layers"
taken "$(tr -d ' \n' <out | grep -o '"bytes":{"gpu":[0-9]*' | grep -o '[0-9]*$')" "a cap"

# What it says without --json.
SPILLWAY_FAKE_GPU=$((4 * G)) sw run . --weights-from random --tokens 5,6,7 -n 2 --context 256
expect 0 "in words"
grep -q 'on the GPU (6 of 6 layers)' err || fail "in words: the plan"
grep -q 'planned .* of GPU memory and 600 MiB for the driver' err || fail "in words: the memory"

# Two ranks, one of which has the GPU.
SPILLWAY_FAKE_GPU=$((4 * G)) ranks 2 "${run[@]}" --slices 3,3
expect 0 "two ranks"
[ "$(texts)" = "$plain" ] || fail "two ranks: other ids"

# Somebody has taken most of the GPU since it was looked at: planned once more, on one rank and two.
taken=$((4 * G - (70 << 20)))
SPILLWAY_FAKE_GPU=$((4 * G)):$taken sw "${run[@]/--quiet/--seed=1}"
expect 0 "taken meanwhile"
[ "$(texts)" = "$plain" ] || fail "taken meanwhile: other ids"
grep -q 'planning again with the memory that is free now' err || fail "taken meanwhile: said nothing"
tr -d ' \n' <out | grep -q '"layers":{"gpu":0' || fail "taken meanwhile: planned as before"
SPILLWAY_FAKE_GPU=$((4 * G)):$taken ranks 2 "${run[@]/--quiet/--seed=1}" --slices 3,3
expect 0 "taken meanwhile, two ranks"
[ "$(texts)" = "$plain" ] || fail "taken meanwhile, two ranks: other ids"
[ "$(grep -c 'planning again' err)" = 1 ] || fail "taken meanwhile, two ranks: said it not once"

# The free memory goes on being reported wrongly: refused after the second try, with the reason.
SPILLWAY_FAKE_GPU=$((4 * G)):$taken:1000 sw "${run[@]}"
expect 5 "reported wrongly"
grep -q 'GPU memory for .* cannot be allocated' err || fail "reported wrongly: the reason"
SPILLWAY_FAKE_GPU=$((4 * G)):$taken:1000 ranks 2 "${run[@]}" --slices 3,3
expect 5 "reported wrongly, two ranks"
finish
