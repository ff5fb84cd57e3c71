#!/bin/bash
# The steps for a GPU that is lent for minutes, from a bundle (tests/gpu/bundle.sh), each with a clock of
# its own. What fails or hangs holds up nothing that comes after it.
#
#   gpu.sh a     at most 300 s: the memory that contexts take; every kernel against its reference, with and
#                without kernels that begin early; links of NCCL, if there is one; products and attention
#                beside the GPU's memory and cuBLAS; probe; decoding by 8 layers of true shapes
#   gpu.sh b     at most 420 s: whole models on two ranks that share the GPU
#
# OUT: where the results go (results): results.jsonl, one line for each command, from which
# tests/gpu/log.py makes docs/gpu-log.md's entry, and each command's whole output.
# CUBLAS: a folder with libcublas.so.13, where it is not found by itself. SHORT=1: a moment of each, for trying.
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=launch/setup.sh
. "$here/setup.sh"
case ${1:-} in
a) step=a seconds=${SECONDS_LEFT:-300} ;;
b) step=b seconds=${SECONDS_LEFT:-420} ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
results=${OUT:-$here/results}
mkdir -p "$results" || die "cannot write to $results"
log=$results/results.jsonl
failed=
began=$(date +%s)
short=${SHORT:-}

# The bundle's own libraries before the machine's; cuBLAS and NCCL as PyTorch or the toolkit bring them.
find_library() {
    local python
    python=$(command -v python3 >/dev/null && python3 -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    find ${python:+"$python/nvidia"} /usr/local/cuda* /usr/lib/x86_64-linux-gnu -name "$1" 2>/dev/null | head -n 1
}
cublas=${CUBLAS:-$(dirname "$(find_library 'libcublas.so.13')")}
nccl=$(dirname "$(find_library 'libnccl.so.2')")
export LD_LIBRARY_PATH=$here/lib:$cublas:$nccl${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PATH=$here/bin:$PATH OPAL_PREFIX=$here PMIX_INSTALL_PREFIX=$here
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp SPILLWAY_GPU_LIBRARY=$here/lib/libspillway_cuda.so
export SW_SOURCE_DIR=$here
pmix=$(echo "$here"/lib/*/pmix*/lib/pmix)
[ -d "$pmix" ] && export PMIX_MCA_mca_base_component_path=$pmix
mpi_on_any_machine

left() { echo $((seconds - ($(date +%s) - began))); }
# json TEXT…: its lines as strings, for an array
json() { sed 's/\\/\\\\/g; s/"/\\"/g; s/\t/ /g; s/[[:cntrl:]]//g; s/.*/"&"/' | paste -sd, -; }
# record NAME CODE SECONDS LINES FILE COMMAND…
record() {
    local name=$1 code=$2 took=$3 lines=$4 file=$5
    shift 5
    printf '{"step": "%s", "name": "%s", "code": %d, "seconds": %d, "command": %s, "output": [%s]}\n' \
        $step "$name" "$code" "$took" "$(json <<<"${*//$here\//}")" "$(tail -n "$lines" "$file" | json)" >>"$log"
}
# try NAME SECONDS LINES COMMAND…
try() {
    local name=$1 most=$2 lines=$3 rc start
    shift 3
    if [ "$(left)" -lt 10 ]; then
        say "$name: left out, no time is left"
        : >"$results/$name.txt"
        record "$name" -1 0 0 "$results/$name.txt" "$@"
        failed+=" $name"
        return
    fi
    [ "$most" -lt "$(left)" ] || most=$(left)
    say "$name"
    start=$(date +%s)
    timeout -k 5 "$most" "$@" >"$results/$name.txt" 2>&1 </dev/null
    rc=$?
    record "$name" $rc $(($(date +%s) - start)) "$lines" "$results/$name.txt" "$@"
    tail -n "$lines" "$results/$name.txt"
    { [ $rc = 0 ] || [ $rc = 77 ]; } && return
    failed+=" $name"
    say "$name: exit code $rc"
}

# All tests at once: they compute little, and most of their time is the host's.
tests() {
    local early=$1 test pids=() names=() rc start i
    start=$(date +%s)
    for test in "$here"/bin/card_test_*; do
        [ -n "$short" ] && [[ ! $test =~ rows$ ]] && continue
        names+=("${test##*/card_}_early$early")
        SPILLWAY_EARLY=$early timeout -k 5 100 "$test" >"$results/${names[-1]}.txt" 2>&1 </dev/null &
        pids+=($!)
    done
    for i in "${!pids[@]}"; do
        wait "${pids[$i]}"
        rc=$?
        record "${names[$i]}" $rc $(($(date +%s) - start)) 6 "$results/${names[$i]}.txt" "SPILLWAY_EARLY=$early" "${names[$i]}"
        [ $rc = 0 ] || failed+=" ${names[$i]}"
        [ $rc = 0 ] || tail -n 8 "$results/${names[$i]}.txt"
    done
    say "tests, SPILLWAY_EARLY=$early: ${#pids[@]} took $(($(date +%s) - start)) s"
}
# decode CUT WEIGHTS EARLY TOKENS
decode() {
    [ -d "$1" ] || return
    try "decode_${1##*/}_$2_early$3" 40 3 env SPILLWAY_EARLY="$3" "$here/bin/card_measure_decode" "$1" "$2" "$4"
}
step_a() {
    local small='' tokens=64 cut weights early
    [ -n "$short" ] && small=--small tokens=8
    try memory 30 10 "$here/bin/card_measure_memory"
    tests 1
    tests 0
    [ -x "$here/bin/card_nccl_self" ] && try nccl_self 30 5 "$here/bin/card_nccl_self"
    # shellcheck disable=SC2086 # there may be none
    try measure_gpu 70 70 "$here/bin/card_measure_gpu" $small
    try probe 20 20 spillway probe
    for early in 1 0; do
        for cut in "$here"/cuts/{llama-8b,gpt-neox-20b}; do
            for weights in f16 int8; do
                decode "$cut" $weights $early $tokens
            done
        done
    done
    for cut in "$here"/cuts/{opt-66b,opt-30b}; do
        decode "$cut" f16 1 $tokens
    done
}
# two NAME WEIGHTS GIB SECONDS: ranks that may each use so much of the GPU
two() {
    local size=(-p 512 -n 16 -r 2)
    [ -d "$here/whole/$1" ] || return
    [ -n "$short" ] && size=(-p 8 -n 2 -r 1)
    try "bench_$1_$2" "$4" 25 mpirun --bind-to none -np 2 "$here/bin/spillway" bench "$here/whole/$1" \
        --weights-from random --weights "$2" --share-gpus --gpu-memory "$3" --context 1024 "${size[@]}"
}
step_b() {
    two gpt-neox-20b f16 30GiB 130
    two opt-66b int8 50GiB 160
    two opt-30b f16 24GiB 130
}

printf '{"step": "%s", "commit": "%s", "date": "%s", "card": %s, "glibc": %s}\n' $step \
    "$(cat "$here/commit")" "$(date -u +%F)" \
    "$({ nvidia-smi --query-gpu=name,compute_cap,memory.total,driver_version --format=csv,noheader 2>/dev/null || echo simulated; } | head -n 1 | json)" \
    "$(ldd --version | head -n 1 | json)" >>"$log"
step_$step
say "step $step: $(($(date +%s) - began)) s, results in $log"
[ -z "$failed" ] && say "All of it went well" && exit 0
say "Not well:$failed"
exit 1
