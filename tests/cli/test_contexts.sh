#!/bin/bash
# A context takes hundreds of MiB of a GPU: each rank has one on its own GPU and nowhere else, with the
# driver's monitor (a stand-in, tests/tools/fake_nvml.c) and without; three and four ranks, four simulated
# GPUs. And drivers that are too old. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
library=$(dirname "$spillway")/tests/libspillway_simgpu.so
nvml=$(dirname "$spillway")/tests/nvml
[ -e "$library" ] || { echo "skipped: $library was not built"; exit 77; }
[ -e "$nvml/libnvidia-ml.so.1" ] || { echo "skipped: $nvml has no monitor"; exit 77; }
export SPILLWAY_GPU_LIBRARY=$library SIMGPU_DEVICES=4 SIMGPU_MEMORY=2G SIMGPU_CONTEXT=600M
export SIMGPU_LOADED=1 SIMGPU_STATE=$work/gpus SIMGPU_REPORT=$work/report
cat >config.json <<'JSON'
{"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
 "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 200, "rms_norm_eps": 1e-5,
 "max_position_embeddings": 512, "torch_dtype": "float16"}
JSON
# shellcheck disable=SC2054 # commas are meant
run=(run . --weights-from random --tokens 5,6,7,8,9 -n 4 --json)
# keeps WHAT RANKS: each process holds one context, all on different GPUs; with $made, made no others
keeps() {
    local what=$1 n=$2
    expect 0 "$what"
    [ "$(cut -d' ' -f1 report | sort -u | wc -l)" = "$n" ] || fail "$what: not $n processes"
    [ "$(grep 'held=1' report | cut -d' ' -f1 | sort -u | wc -l)" = "$n" ] ||
        fail "$what: not each has a context: $(cat report)"
    [ "$(grep -c 'held=1' report)" = "$n" ] || fail "$what: contexts on others' GPUs: $(cat report)"
    [ "$(grep 'held=1' report | cut -d' ' -f2 | sort -u | wc -l)" = "$n" ] ||
        fail "$what: two on one GPU: $(cat report)"
    [ -z "$made" ] || [ "$(grep -vc 'contexts=0' report)" = "$n" ] ||
        fail "$what: made contexts elsewhere: $(cat report)"
    rm -f report gpus
}
for way in "$nvml" ''; do
    made=$way
    export LD_LIBRARY_PATH=$way
    ranks 4 "${run[@]}" --slices 1,1,1,1
    keeps "four ranks, monitor '$way'" 4
    ranks 3 "${run[@]}" --slices 1,1,2 --transport mpi
    keeps "three ranks, monitor '$way'" 3
    ranks 4 probe
    keeps "probe, monitor '$way'" 4
done

# A driver that serves no such build: said once a node, in words that help; then the CPU computes.
unset SIMGPU_STATE SIMGPU_REPORT
SIMGPU_DEVICES=0 sw "${run[@]}"
plain=$(grep -A8 '"ids"' out)
old="its GPUs are not used: the NVIDIA driver serves CUDA 12.2, and this build is of CUDA 13.0"
export SIMGPU_DRIVER=12020
sw probe
expect 0 "an old driver, probe"
grep -q "$old (cudaErrorInsufficientDriver); install driver 580 or newer" err || fail "an old driver, probe: not said"
ranks 2 "${run[@]}"
expect 0 "an old driver, run"
[ "$(grep -c "$old" err)" = 1 ] || fail "an old driver, run: said not once"
[ "$(grep -A8 '"ids"' out)" = "$plain" ] || fail "an old driver, run: other ids"
sw probe --json
grep -q "\".*$old" out || fail "an old driver, as JSON: not said"
unset SIMGPU_DRIVER
for error in "803:restart the machine after an update" "804:take cuda-compat out of LD_LIBRARY_PATH"; do
    SIMGPU_FAIL=cudaGetDeviceCount:1:${error%%:*} sw "${run[@]}"
    expect 0 "error $error"
    grep -q "its GPUs are not used: .*${error#*:}" err || fail "error $error: not said"
done
for silent in SIMGPU_DEVICES=0 SIMGPU_FAIL=cudaGetDeviceCount:1:34 SIMGPU_DRIVER=0; do
    launch env "$silent" "$spillway" "${run[@]}"
    expect 0 "$silent"
    grep -q 'not used' err && fail "$silent: is no fault of the driver"
done
finish
