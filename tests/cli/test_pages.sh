#!/bin/bash
# A GPU's memory to the last page: what the plan counts for many layers is what they take, though the
# driver hands out pages of 2 MiB; and a context that takes more than plans count is known before, not by
# a refusal. On a simulated GPU, with the driver's monitor and without. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
library=$(dirname "$spillway")/tests/libspillway_simgpu.so
nvml=$(dirname "$spillway")/tests/nvml
[ -e "$library" ] || { echo "skipped: $library was not built"; exit 77; }
export SPILLWAY_GPU_LIBRARY=$library SIMGPU_STRICT=0
MIB=$((1 << 20))
# number PATTERN: what follows it in the JSON that came out
number() { tr -d ' \n' <out | grep -o "$1[0-9]*" | head -n 1 | grep -o '[0-9]*$'; }
gpu() { number '"layers":{"gpu":'; }

# The KV cache of a layer is a little more than 2 MiB, so that by itself it would take 4.
cat >config.json <<'JSON'
{"model_type": "llama", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 140,
 "num_attention_heads": 1, "num_key_value_heads": 1, "vocab_size": 200, "rms_norm_eps": 1e-5,
 "max_position_embeddings": 16384, "torch_dtype": "float16"}
JSON
run=(run . --weights-from random --tokens 5 -n 1 --json --context 8400)
export LD_LIBRARY_PATH=$nvml
SIMGPU_MEMORY=4G SIMGPU_CONTEXT=400M sw "${run[@]}"
expect 0 "room enough"
[ "$(gpu)" = 140 ] || fail "room enough: layers are missing"
all=$(number '"bytes":{"gpu":')
SIMGPU_MEMORY=$((all + 256 * MIB)) SIMGPU_CONTEXT=600M SIMGPU_REPORT=$work/report sw "${run[@]}"
expect 0 "to the last page"
grep -q 'planning again' err && fail "to the last page: memory was refused"
[ "$(gpu)" = 140 ] || fail "to the last page: $(gpu) of 140 layers"
peak=$(grep -o 'peak=[0-9]*' report | tail -n 1 | cut -d= -f2)
[ "${peak:-$((all + 1))}" -le "$all" ] || fail "to the last page: $peak bytes taken of $all planned"

# A context that takes nearly all: nothing fits, and that is said before anything is loaded. (A model
# that is large enough for the GPU to be measured.)
cat >config.json <<'JSON'
{"model_type": "llama", "hidden_size": 512, "intermediate_size": 512, "num_hidden_layers": 2,
 "num_attention_heads": 4, "num_key_value_heads": 1, "vocab_size": 70000, "rms_norm_eps": 1e-5,
 "max_position_embeddings": 512, "torch_dtype": "float16", "tie_word_embeddings": true}
JSON
for way in "$nvml" ''; do
    LD_LIBRARY_PATH=$way SIMGPU_MEMORY=1300M SIMGPU_CONTEXT=1150M sw run . --weights-from random --tokens 5 -n 1 \
        --host-memory 150MiB
    expect 4 "a large context, monitor '$way'"
    grep -q 'planning again' err && fail "a large context, monitor '$way': memory was refused"
    LD_LIBRARY_PATH=$way SIMGPU_MEMORY=1300M SIMGPU_CONTEXT=472M sw run . --weights-from random --tokens 5 -n 1 \
        --host-memory 150MiB
    expect 0 "a usual context, monitor '$way'"
done
finish
