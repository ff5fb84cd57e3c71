#!/bin/bash
# The verb probe, alone and on three ranks: its table, its JSON, its warnings, its time.
set -u
spillway=$1
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mpi_env.sh
. "$here/../mpi_env.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# check WHAT COMMAND…: the command must succeed.
check() {
    local what=$1
    shift
    "$@" && return
    echo "FAILED: $what"
    sed 's/^/    /' "$work/out" "$work/err"
    failures=$((failures + 1))
}
in_file() { grep -Eq -- "$1" "$work/$2"; }
launch() {
    timeout -k 5 300 "$@" >"$work/out" 2>"$work/err"
    code=$?
}

launch "$spillway" probe
check "alone: exit $code" [ $code = 0 ]
check "alone: a row for rank 0" in_file '^ +0 +[^ ]+ +[0-9]+ +[0-9.]+ [KMGT]iB' out

# Threads that wait for each other's core would each count as one that has its own.
launch "$spillway" probe --threads 1000
check "too many threads: exit $code" [ $code = 0 ]
check "too many threads: warned" in_file '1000 threads share the [0-9]+ core' err
check "too many threads: no more than cores measure" \
    [ "$(awk '$1 == 0 { print $3 }' "$work/out")" -le "$(nproc)" ]

# Half a core's time, as docker --cpus=0.5 gives it: one thread, and a cluster of one core.
with_half_a_core() {
    local group=/sys/fs/cgroup/cpu/sw-probe-$$
    [ -d /sys/fs/cgroup/cpu ] || group=/sys/fs/cgroup/sw-probe-$$
    mkdir "$group" 2>/dev/null || return 77
    if ! { echo 10000 >"$group/cpu.cfs_period_us" && echo 5000 >"$group/cpu.cfs_quota_us"; } 2>/dev/null &&
        ! { echo "5000 10000" >"$group/cpu.max"; } 2>/dev/null; then
        rmdir "$group"
        return 77
    fi
    # shellcheck disable=SC2016 # expanded by the shell that joins
    launch bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"
    for _ in $(seq 100); do
        rmdir "$group" 2>/dev/null && break
        sleep 0.1
    done
}
if with_half_a_core "$spillway" probe; then
    check "half a core: exit $code" [ $code = 0 ]
    check "half a core: one thread" [ "$(awk '$1 == 0 { print $3 }' "$work/out")" = 1 ]
    check "half a core: said" in_file "quota 0.5 cores' worth of time" out
    check "half a core: warned" in_file 'CPU quota of cgroup .*/sw-probe-[0-9]+ allows 0.5 cores' err
    with_half_a_core "$spillway" probe --json
    check "half a core: in JSON" in_file '"cores": 1,' out
    check "half a core: a warning in JSON" in_file 'CPU quota of cgroup' out
else
    echo "half a core: skipped, no control group can be made"
fi

launch mpirun -np 3 "$spillway" probe
check "three ranks: exit $code" [ $code = 0 ]
check "three ranks: three rows" [ "$(grep -Ec '^ +[012] ' "$work/out")" = 3 ]
check "three ranks: a link" in_file '[0-9.]+ us, [0-9.]+ GB/s' out

launch mpirun -np 2 "$spillway" probe --json
check "json: exit $code" [ $code = 0 ]
check "json: two ranks of one node" in_file '"ranks": 2' out
check "json: a measured link" in_file '"local_latency": [0-9.e-]+' out

if "$spillway" --help | grep -q '^  plan '; then
    cp "$work/out" "$work/cluster.json"
    mkdir "$work/model"
    cat >"$work/model/config.json" <<'JSON'
{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 64, "n_layer": 4,
 "n_head": 4, "n_positions": 128, "vocab_size": 500, "layer_norm_epsilon": 1e-5,
 "activation_function": "gelu_new", "torch_dtype": "float32"}
JSON
    launch "$spillway" plan "$work/model" --cluster "$work/cluster.json"
    check "the plan takes what probe prints: exit $code" [ $code = 0 ]
fi

launch mpirun --bind-to core -np 1 "$spillway" probe
if [ "$(nproc)" -gt 1 ]; then
    check "bound: warned" in_file 'may use 1 of [0-9]+ cores' err
fi

launch mpirun -np 2 "$spillway" probe --no-such-option
check "a bad option: exit $code" [ $code = 2 ]

[ $failures = 0 ] && echo "all passed"
exit $failures
