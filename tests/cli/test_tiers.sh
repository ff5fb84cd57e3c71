#!/bin/bash
# A plan that gives up GPU layers so that prompts can be streamed, made and carried out by `run` itself
# on a simulated GPU: the CPU's text, what the plan counted was taken, and what it takes a prompt of.
# $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
library=$(dirname "$spillway")/tests/libspillway_simgpu.so
[ -e "$library" ] || { echo "skipped: $library was not built"; exit 77; }
export SPILLWAY_GPU_LIBRARY=$library SIMGPU_MEMORY=2G SIMGPU_CONTEXT=600M
cat >config.json <<'JSON'
{"model_type": "llama", "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 8,
 "num_attention_heads": 4, "num_key_value_heads": 1, "vocab_size": 200, "rms_norm_eps": 1e-5,
 "max_position_embeddings": 512, "torch_dtype": "float16"}
JSON
long=$(seq -s, 3 190) short=5,6,7,8,9
run=(run . --weights-from random -n 4 --json --context 256 --chunk 256)
# number PATTERN: what follows it in the JSON that came out
number() { tr -d ' \n' <out | grep -o "$1[0-9]*" | head -n 1 | grep -o '[0-9]*$'; }
ids() { tr -d ' \n' <out | grep -o '"ids":\[[^]]*\]'; }
gpu() { number '"layers":{"gpu":'; }
rows() { number '"prompt_streamed_rows":'; }
planned() { number '"bytes":{"gpu":'; }
# took WHAT: of the GPU what was planned but for the driver's own
took() { [ "$(number '"peak_gpu_bytes":')" = $(($(planned) - (600 << 20))) ] || fail "$1: took something else"; }

for prompt in long short; do
    SIMGPU_DEVICES=0 sw "${run[@]}" --tokens "${!prompt}"
    expect 0 "$prompt: on the CPU"
    ids >"$prompt.ids"
    grep -q '[0-9]' "$prompt.ids" || fail "$prompt: no ids on the CPU"
done
sw "${run[@]}" --tokens "$long"
expect 0 "all on the GPU"
[ "$(gpu)" = 8 ] || fail "all on the GPU: it is not"
all=$(planned)

# Room for some of the layers. A short prompt leaves as many there as fit …
layer=$(((2 * 128 * 128 + 2 * 32 * 128 + 3 * 512 * 128) * 2))
cap=(--gpu-memory $((all + (256 << 20) - 3 * layer)))
sw "${run[@]}" "${cap[@]}" --tokens "$short"
expect 0 "short prompt"
most=$(gpu)
if [ "$(rows)" != 0 ] || [ "$most" -lt 4 ] || [ "$most" -gt 6 ]; then fail "short prompt: other layers"; fi
[ "$(ids)" = "$(cat short.ids)" ] || fail "short prompt: other ids"
took "short prompt"

# … a long one makes room for two buffers, through which the others pass.
sw "${run[@]}" "${cap[@]}" --tokens "$long"
expect 0 "long prompt"
[ "$(gpu)" -lt "$most" ] || fail "long prompt: as many layers on the GPU"
if [ "$(rows)" -lt 2 ] || [ "$(rows)" -gt 188 ]; then fail "long prompt: not streamed"; fi
[ "$(ids)" = "$(cat long.ids)" ] || fail "long prompt: other ids"
took "long prompt"
staging=$(((2 * layer) >> 10))
echo "$most layers on the GPU for a short prompt, $(gpu) for a long one, from $(rows) rows on" \
    "(buffers of $staging KiB)"

# Memory that cannot be pinned: the same text, and one warning that says what it costs and what helps.
SIMGPU_FAIL=cudaHostRegister:1:2,cudaHostRegister:1:2,cudaHostRegister:1:2 sw "${run[@]}" "${cap[@]}" --tokens "$long"
expect 0 "not pinned"
[ "$(ids)" = "$(cat long.ids)" ] || fail "not pinned: other ids"
[ "$(grep -c 'cannot be pinned, so copying and computing do not overlap, which may halve the speed: .*stays in place' err)" = 1 ] ||
    fail "not pinned: said not once"

# What `plan` says of such requests is the same as what is run.
cluster="1x(gpu:2G host:8G)"
for n in 5 188; do
    sw plan . --cluster "$cluster" --context 256 --chunk 256 "${cap[@]}" -p $n -n 4 --json
    expect 0 "plan for $n"
    if [ $n = 5 ]; then [ "$(rows)" = 0 ]; else [ "$(rows)" -gt 0 ]; fi || fail "plan for $n: streaming"
done

# Two ranks, of which the first has the GPU: the prompt is not cut for them to overlap.
SIMGPU_DEVICES=1 ranks 2 "${run[@]}" "${cap[@]}" --slices 7,1 --tokens "$long"
expect 0 "two ranks"
[ "$(ids)" = "$(cat long.ids)" ] || fail "two ranks: other ids"
finish
