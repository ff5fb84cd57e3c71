#!/bin/bash
# Links between GPUs, on 2 to 4 ranks with a simulated GPU each: the CPU's text, what each link became
# and why, NCCL that fails at the start, in the middle or on one rank, a rank that is killed and a stop
# while GPUs wait for each other. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
library=$(dirname "$spillway")/tests/libspillway_simgpu.so
[ -e "$library" ] || { echo "skipped: $library was not built"; exit 77; }
supervisor=$here/../../launch/spillway-mpirun
export SPILLWAY_GPU_LIBRARY=$library SIMGPU_DEVICES=4 SIMGPU_MEMORY=2G
# a name of our own, so that pgrep finds the ranks of this test and no others
cp "$spillway" "$work/spillway"
spillway=$work/spillway
cat >config.json <<'JSON'
{"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
 "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 200, "rms_norm_eps": 1e-5,
 "max_position_embeddings": 4096, "torch_dtype": "float16"}
JSON
# shellcheck disable=SC2054 # commas are meant
run=(run . --weights-from random --tokens 5,6,7,8,9 --json --context 4096)
ids() { tr -d ' \n' <out | grep -o '"ids":\[[^]]*\]'; }
ways() { grep -o '"to_next": "[A-Z]*"' out | cut -d'"' -f4 | paste -sd' ' | sed 's/ *$//'; }
# went WHAT WAYS: well, with the CPU's ids, by these ways
went() {
    expect 0 "$1"
    [ "$(ids)" = "$plain" ] || fail "$1: other ids"
    [ "$(ways)" = "$2" ] || fail "$1: links '$(ways)', not '$2'"
}

SIMGPU_DEVICES=0 sw "${run[@]}" -n 6
expect 0 "on the CPU"
plain=$(ids)
[ -n "$plain" ] || fail "on the CPU: no ids"

ranks 2 "${run[@]}" -n 6 --slices 2,2
went "two ranks" "NCCL"
grep -Eq 'rank 0 → 1: NCCL 2\.28\.9, GPU 0000:10:00.0 on .* to GPU 0000:11:00.0 on ' err ||
    fail "two ranks: the link is not said"
ranks 3 "${run[@]}" -n 6 --slices 1,1,2
went "three ranks" "NCCL NCCL"
ranks 4 "${run[@]}" -n 6 --slices 1,1,1,1 --chunk 2
went "four ranks" "NCCL NCCL NCCL"
ranks 3 "${run[@]}" -n 6 --slices 1,1,2 --transport mpi
went "--transport mpi" "MPI MPI"
[ "$(grep -c 'rank [01] → [12]: MPI (--transport mpi)' err)" = 2 ] || fail "--transport mpi: not said"
ranks 3 "${run[@]}" -n 6 --slices 1,1,2 --transport auto
went "--transport auto" "NCCL NCCL"
sw "${run[@]}" -n 1 --transport ucx
expect 2 "--transport ucx"

# Fewer GPUs than ranks, and a GPU that does not hold its layers.
SIMGPU_DEVICES=2 ranks 3 "${run[@]}" -n 6 --slices 1,1,2
went "two GPUs" "NCCL MPI"
grep -q 'rank 1 → 2: MPI (ends in host memory)' err || fail "two GPUs: the reason"

# More ranks than GPUs, which share them: each with an even part of what is free.
SIMGPU_DEVICES=1 ranks 2 "${run[@]}" -n 6 --slices 2,2 --share-gpus
went "one GPU for two" "MPI"
grep -q 'rank 0 → 1: MPI (both on one GPU)' err || fail "one GPU for two: the reason"
[ "$(tr -d ' \n' <out | grep -o '"layers":{"gpu":2' | wc -l)" = 2 ] || fail "one GPU for two: not both"
# What is free of it is enough for one of them, but not half of it for each.
SIMGPU_DEVICES=1 SIMGPU_MEMORY=1800M ranks 2 "${run[@]}" -n 6 --slices 2,2 --share-gpus
went "a small GPU for two" "MPI"
[ "$(tr -d ' \n' <out | grep -o '"layers":{"gpu":0' | wc -l)" = 2 ] || fail "a small GPU for two: more than its half"
SIMGPU_DEVICES=1 SIMGPU_MEMORY=1800M ranks 2 "${run[@]}" -n 6 --slices 2,2
went "a small GPU for one of two" "MPI"
tr -d ' \n' <out | grep -q '"layers":{"gpu":2.*"layers":{"gpu":0' || fail "a small GPU for one of two: not on it"

# The trained model, in words.
SIMGPU_DEVICES=0 sw run "$models/shakespeare" "ROMEO:" -n 4 -w f16
cp out plain.txt
ranks 2 run "$models/shakespeare" "ROMEO:" -n 4 -w f16
expect 0 "the trained model"
cmp -s out plain.txt || fail "the trained model: another text"
grep -q 'rank 0 → 1: NCCL' err || fail "the trained model: no link"

# NCCL fails when ranks join: on all, or on one for which the others wait.
SIMGPU_FAIL=ncclCommInitRankConfig:1:2 ranks 3 "${run[@]}" -n 6 --slices 1,1,2
went "all fail to join" "MPI MPI"
[ "$(grep -c 'GPUs exchange data through host memory: rank 0 .* system error' err)" = 1 ] ||
    fail "all fail to join: not said once"
launch mpirun -np 1 "$spillway" "${run[@]}" -n 6 --slices 1,1,2 --timeout 6 : \
    -np 1 -x SIMGPU_FAIL=ncclSend:1:5 "$spillway" "${run[@]}" -n 6 --slices 1,1,2 --timeout 6 : \
    -np 1 "$spillway" "${run[@]}" -n 6 --slices 1,1,2 --timeout 6
went "one fails to warm up" "MPI MPI"

# … and when they are at work: a peer's end is worth another try, a fault of this one is not.
launch "$supervisor" -np 1 "$spillway" "${run[@]}" -n 6 --slices 2,2 : \
    -np 1 -x SIMGPU_FAIL=ncclRecv:4:6 "$spillway" "${run[@]}" -n 6 --slices 2,2
expect 75 "a receive fails"
[ "$(grep -c '^spillway.*rank 1 on .*remote process exited' err)" = 1 ] || fail "a receive fails: the message"
launch "$supervisor" -np 1 "$spillway" "${run[@]}" -n 6 --slices 2,2 : \
    -np 1 -x SIMGPU_FAIL=ncclRecv:4:5 "$spillway" "${run[@]}" -n 6 --slices 2,2
expect 5 "a receive is refused"

nobody_left() {
    within 60 none_left "^$spillway" && return
    fail "$1: processes are left"
    pgrep -f "^$spillway" | xargs -r kill -KILL
}
# begin: three ranks with much to do; until they are at it
begin() {
    : >out
    timeout -k 5 300 "$supervisor" -np 3 "$spillway" "${run[@]}" -n 4000 --slices 1,1,2 --timeout 10 \
        >out 2>err </dev/null &
    job=$!
    within 120 grep -q '1 → 2: NCCL' err || fail "no links after two minutes"
    sleep 2
}
# ended SECONDS CODE WHAT
ended() {
    local begin=$EPOCHREALTIME
    wait "$job"
    code=$?
    expect "$2" "$3"
    awk -v a="$begin" -v b="$EPOCHREALTIME" -v most="$1" 'BEGIN { exit !(b - a <= most) }' ||
        fail "$3: not within $1 s"
    nobody_left "$3"
}
rank_pid() {
    pgrep -f "^$spillway" | while read -r p; do
        tr '\0' '\n' <"/proc/$p/environ" | grep -qx "OMPI_COMM_WORLD_RANK=$1" && echo "$p"
    done
}
for victim in 0 1 2; do
    begin
    pid=$(rank_pid $victim)
    [ -n "$pid" ] && kill -KILL "$pid" || fail "rank $victim is not there"
    ended 100 75 "rank $victim killed"
    [ "$(grep -c "^spillway.*rank $victim on .* is gone" err)" = 1 ] || fail "rank $victim killed: not one message"
done
# A rank that hangs, so that the others' GPUs wait for its: the heartbeat finds it.
begin
pid=$(rank_pid 2)
kill -STOP "$pid"
ended 100 75 "rank 2 stopped"
[ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null
begin
kill -TERM "$(pgrep -P "$job" -f spillway-mpirun | head -n 1)"
ended 100 75 "a stop"
finish
