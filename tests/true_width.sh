#!/bin/bash
# Layers of Llama-3.1-405B's shape in nf4, from disk: the same code as for all 126 of them, at true
# width, with few layers of random weights. On the CPU and on the simulated GPU logits from disk are
# those from memory, bit for bit, and memory is as planned; GB/s are printed.
#
#   tests/true_width.sh PROGRAM [LAYERS [DIVISOR [GPU_DIVISOR]]]
#
# DIVISOR: of all widths, for the CPU; GPU_DIVISOR: for the simulated GPU, which multiplies some
# 10 million weights a second; 0: none. By default 4 layers, 1 and 4. A layer takes
# 1.7 GB / DIVISOR² of disk, and four times as much of memory is needed in all. SCRATCH: where the
# files go (default: /tmp; a file system that can be read past the page cache).
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
spillway=$(readlink -f "${1:-$root/build/spillway}")
layers=${2:-4} divisor=${3:-1} gpu_divisor=${4:-4}
library=$(dirname "$spillway")/tests/libspillway_simgpu.so
work=$(mktemp -d -p "${SCRATCH:-/tmp}")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
options=(--context 256 --chunk 256)

fail() {
    echo "FAILED: $*"
    [ ! -s err ] || sed 's/^/    /' err
    exit 1
}
# field NAME: the field of the only stage of a plan.
field() { python3 -c 'import json, sys
s = json.load(open("plan.json"))["stages"][0]
print(eval(sys.argv[1], {"s": s}))' "$1"; }
# plan_for CLUSTER ARGUMENT…: the plan with as many layers on disk as can be.
plan_for() {
    local cluster=$1
    shift
    "$spillway" plan model --cluster "$cluster" "${options[@]}" -p 1 -n 1 --json "$@" >plan.json 2>err || fail "no plan"
}
# trace FILE ARGUMENT…: logits of one token; its time and what was said of the disk.
trace() {
    local file=$1 from=$SECONDS
    shift
    "$spillway" trace model --tokens 5 --dump "$file" "${options[@]}" "$@" >out 2>err || fail "trace: exit code $?"
    grep -E 'on the GPU|on disk|GB/s' err | sed 's/^/    /'
    echo "    $((SECONDS - from)) s"
}
# model DIVISOR
model() {
    rm -rf model
    python3 "$root/tests/tools/make_wide.py" model "$layers" "$1" || fail "the model could not be written"
    echo "$layers layers of the 405B's width / $1: $(du -h --apparent-size model/model.safetensors | cut -f1)"
}
# fits CLUSTER BYTES: whether a plan fits into so much of the host's memory
fits() {
    "$spillway" plan model --cluster "$1" "${options[@]}" -p 1 -n 1 --host-memory "$2" >/dev/null 2>&1
}
# least CLUSTER: sets host to the least memory that a plan fits in, which has all layers on disk.
least() {
    local none=$((64 << 20))
    host=$((64 << 30))
    fits "$1" "$host" || fail "$1: no plan fits"
    while [ $((host - none)) -gt $((128 << 10)) ]; do
        local middle=$(((none + host) / 2))
        if fits "$1" "$middle"; then host=$middle; else none=$middle; fi
    done
}

export SIMGPU_DEVICES=0 SPILLWAY_GPU_LIBRARY=$library
model "$divisor"
echo "CPU, in memory"
trace memory.safetensors
least "1x(host:70G disk:1GB/s)"
echo "CPU, from disk in $((host >> 20)) MiB"
trace disk.safetensors --host-memory "$host"
grep -q "$layers of $layers layers on disk" err || fail "layers are in memory"
cmp memory.safetensors disk.safetensors || fail "CPU: other logits from disk"

[ "$gpu_divisor" != 0 ] || exit 0
[ -e "$library" ] || fail "$library was not built"
export SIMGPU_DEVICES=1 SIMGPU_MEMORY=16G SIMGPU_CONTEXT=600M
model "$gpu_divisor"
cluster="1x(gpu:16G host:70G disk:1GB/s)"
plan_for "$cluster"
echo "simulated GPU, in its memory"
trace memory.safetensors --host-memory "$(field 's["bytes"]["host"]')"
grep -q "$layers of $layers layers)" err || fail "layers are not in GPU memory"
weights=$(field 's["breakdown"]["gpu"]["weights"]')
gpu=$(($(field 's["bytes"]["gpu"]') + (256 << 20) - weights + weights / layers)) # one buffer
options+=(--gpu-memory "$gpu")
least "$cluster"
echo "simulated GPU, from disk in $((host >> 20)) MiB, and $((gpu >> 20)) MiB of the GPU"
trace disk.safetensors --host-memory "$host"
grep -q "layers on disk .* for the GPU" err || fail "the GPU runs no layers from disk"
cmp memory.safetensors disk.safetensors || fail "simulated GPU: other logits from disk"
