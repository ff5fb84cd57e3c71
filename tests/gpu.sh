#!/bin/bash
# Everything that wants a real GPU, in one go: builds with CUDA for the card that is here, checks every
# kernel against the references, and measures. What it prints belongs into docs/gpu-log.md.
#
#   tests/gpu.sh [build|kernels|measure|models] …     (all of them, in this order)
#
#   build     the program, libspillway_cuda.so and the tests for this card, into build-gpu/
#   kernels   tests/gpu/ with the real kernels, and steps kept as CUDA graphs (tests/gpulib/test_graphs.c)
#   measure   decode and prefill of single products and attention, beside the card's memory and cuBLAS;
#             decode of gpt-j-6b, its steps kept as graphs and launched one by one
#   models    whole models of true shapes with made-up weights on a rank that counts as a 24 GB card,
#             predicted and measured: gpt-neox-20b (f16), opt-30b (int8; f16 with spill), opt-66b (int8)
#
# Needs nvcc, cmake and what tests/run.sh needs (CUnit, Open MPI, hwloc, jansson, PCRE2, utf8proc); it
# installs nothing. CMAKE_PREFIX_PATH and PKG_CONFIG_PATH may name where they lie.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=launch/setup.sh
. "$root/launch/setup.sh"
build=$root/build-gpu
spillway=$build/spillway
export SPILLWAY_GPU_LIBRARY=$build/libspillway_cuda.so
failed=0
case ${1:-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac

card=$(nvidia-smi --query-gpu=name,compute_cap,memory.total,driver_version --format=csv,noheader 2>/dev/null |
    head -n 1)
[ -n "$card" ] || die "nvidia-smi names no GPU here; run this where there is one (docs/gpu-log.md)"
capability=$(cut -d, -f2 <<<"$card" | tr -d ' .')
say "Card: $card"
say "Commit: $(git -C "$root" log -1 --format='%h %cs' 2>/dev/null || echo unknown)"

build() {
    build_into "$build" "spillway spillway_cuda card_tests" -DCUDA=ON \
        "-DCMAKE_CUDA_ARCHITECTURES=$capability-real"
    say "$("$spillway" --version | head -n 1)"
}
kernels() {
    local test
    for test in "$build"/tests/card_test_*; do
        say "${test##*/card_}"
        "$test" | tail -n 8
        [ "${PIPESTATUS[0]}" = 0 ] || failed=1
    done
}
measure() {
    "$build/tests/card_measure_gpu" || failed=1
    "$build/tests/card_measure_decode" "$root/tests/plan/configs/gpt-j-6b" f16 || failed=1
    "$spillway" probe || failed=1
}
# one NAME WEIGHTS: a rank that may use 24 GiB of the card, and as much host memory as there is
one() {
    local model=$root/tests/plan/configs/$1
    say "$1, $2, 24 GiB of the card"
    "$spillway" bench "$model" --weights-from random --weights "$2" --gpu-memory 24GiB \
        --context 1024 -p 512 -n 16 -r 3 || failed=1
}
models() {
    one gpt-neox-20b f16
    one opt-30b int8
    one opt-30b f16
    one opt-66b int8
}

for step in "${@:-build kernels measure models}"; do
    for word in $step; do
        case $word in
        build | kernels | measure | models) "$word" ;;
        *) die "unknown step '$word'; see --help" ;;
        esac
    done
done
[ $failed = 0 ] && say "All of it went well"
exit $failed
