#!/bin/bash
# Everything that wants a real GPU, in one go: builds with CUDA for the GPU that is here, checks every
# kernel against the references, and measures. What it prints belongs into docs/gpu-log.md.
#
#   tests/gpu.sh [build|kernels|measure|models] …     (all of them, in this order)
#   tests/gpu.sh bundle      on a machine without a GPU: all that a bare one with a GPU needs, as
#                            build-gpu/bundle.tar.xz (tests/gpu/bundle.sh)
#   tests/gpu.sh a|b         there: unpacks it and runs one of its two steps (tests/gpu/steps.sh), for a
#                            GPU that is lent for minutes
#
#   build     the program, libspillway_cuda.so and the tests for this GPU, into build-gpu/
#   kernels   tests/gpu/ with the real kernels, steps kept as CUDA graphs (tests/gpulib/test_graphs.c), and experts
#             that are copied when they are chosen (tests/gpulib/test_gpu_experts.c)
#   measure   decode and prefill of single products and attention, beside the GPU's memory and cuBLAS;
#             `probe`; decode of gpt-j-6b (f16, int8): steps kept as graphs and launched one by one, and
#             layers streamed from host memory, as shares of what memory and the bus give
#   models    whole models of true shapes with made-up weights on two ranks that share the GPU and count
#             as 24 GB each, predicted and measured: gpt-neox-20b (f16), opt-30b (int8; f16 with spill),
#             opt-66b (int8 with spill)
#
# All that is printed, and each command's whole output, is kept in a folder as it comes: $OUT, else
# build-gpu/results. What fails or hangs holds up nothing that comes after it. SECONDS_LEFT: the GPU is
# there for so many seconds; what would not fit any more is left out, and what runs then is ended.
#
# Needs nvcc, cmake and what tests/run.sh needs (CUnit, Open MPI, hwloc, jansson, PCRE2, utf8proc); it
# installs nothing. CMAKE_PREFIX_PATH and PKG_CONFIG_PATH may name where they lie.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=launch/setup.sh
. "$root/launch/setup.sh"
build=$root/build-gpu
spillway=$build/spillway
results=${OUT:-$build/results}
export SPILLWAY_GPU_LIBRARY=$build/libspillway_cuda.so
failed=
began=$(date +%s)
case ${1:-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
bundle) exec bash "$root/tests/gpu/bundle.sh" "${@:2}" ;;
a | b)
    folder=$(mktemp -d) && tar -xJf "${BUNDLE:-$build/bundle}.tar.xz" -C "$folder" ||
        die "there is no bundle to unpack: tests/gpu.sh bundle makes it, where there is a compiler"
    OUT=$results bash "$folder/gpu.sh" "$1"
    rc=$?
    rm -rf "$folder"
    exit $rc
    ;;
esac
mkdir -p "$results" || die "cannot write to $results"
exec > >(tee -a "$results/gpu.log") 2>&1
printer=$!
# The log is whole, and the folder has all there is, however this ends.
finish() {
    local rc=$?
    cp "$build"/*.log "$results" 2>/dev/null
    exec >&- 2>&-
    wait "$printer"
    exit $rc
}
trap finish EXIT
trap 'exit 1' TERM INT

left() { echo $((${SECONDS_LEFT:-100000} - ($(date +%s) - began))); }
# try NAME SECONDS LINES COMMAND…: runs it for at most so long, keeps its output as NAME.txt, and shows
# its last LINES lines.
try() {
    local name=$1 most=$2 lines=$3 rc
    shift 3
    if [ "$(left)" -lt 20 ]; then
        say "$name: left out, no time is left"
        failed+=" $name"
        return
    fi
    [ "$most" -lt "$(left)" ] || most=$(left)
    say "$name"
    timeout -k 10 "$most" "$@" >"$results/$name.txt" 2>&1 </dev/null
    rc=$?
    tail -n "$lines" "$results/$name.txt"
    [ $rc = 0 ] && return
    failed+=" $name"
    [ $rc = 124 ] || [ $rc = 137 ] && say "$name: ended after $most s" && return
    say "$name: exit code $rc (all of its output: $results/$name.txt)"
}

gpu=$(nvidia-smi --query-gpu=name,compute_cap,memory.total,driver_version --format=csv,noheader 2>/dev/null |
    head -n 1)
[ -n "$gpu" ] || die "nvidia-smi names no GPU here; run this where there is one (docs/gpu-log.md)"
capability=$(cut -d, -f2 <<<"$gpu" | tr -d ' .')
say "GPU: $gpu"
say "Commit: $(git -C "$root" log -1 --format='%h %cs' 2>/dev/null || echo unknown)"

build() {
    build_into "$build" "spillway spillway_cuda card_tests" -DCUDA=ON \
        "-DCMAKE_CUDA_ARCHITECTURES=$capability-real"
    say "$("$spillway" --version | head -n 1)"
}
kernels() {
    local test name found=
    for test in "$build"/tests/card_test_*; do
        [ -x "$test" ] || continue
        found=yes name=${test##*/card_}
        try "$name" 150 8 "$test"
    done
    [ -n "$found" ] || die "there are no tests in $build/tests: tests/gpu.sh build comes first"
}
measure() {
    try measure_gpu 180 60 "$build/tests/card_measure_gpu"
    try probe 60 30 "$spillway" probe
    local weights
    for weights in f16 int8; do
        try "decode_gpt-j-6b_$weights" 200 4 "$build/tests/card_measure_decode" \
            "$root/tests/plan/configs/gpt-j-6b" $weights
    done
}
# two NAME WEIGHTS: ranks that may use 24 GiB of the GPU each, and as much host memory as there is
two() {
    try "$1_$2" 540 25 mpirun --bind-to none -np 2 "$spillway" bench "$root/tests/plan/configs/$1" \
        --weights-from random --weights "$2" --share-gpus --gpu-memory 24GiB --context 1024 \
        -p 512 -n 16 -r 3
}
models() {
    mpi_on_any_machine
    two gpt-neox-20b f16
    two opt-30b int8
    two opt-30b f16
    two opt-66b int8
}

for step in "${@:-build kernels measure models}"; do
    for word in $step; do
        case $word in
        build | kernels | measure | models) "$word" ;;
        *) die "unknown step '$word'; see --help" ;;
        esac
    done
done
[ -z "$failed" ] && say "All of it went well" && exit 0
say "Not well:$failed"
exit 1
