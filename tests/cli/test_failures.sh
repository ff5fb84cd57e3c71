#!/bin/bash
# Machines that fail: a full disk, a rank killed, a stop asked for, a weight file that vanishes
# while it is read. One message that says what and what next, the documented exit code, in time,
# and nobody left. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
shakespeare=$models/shakespeare
# a name of our own, so that pgrep finds the ranks of this test and no others
cp "$spillway" "$work/spillway"
spillway=$work/spillway

nobody_left() {
    within 60 none_left "^$spillway" && return
    fail "$1: processes are left: $(pgrep -fa "^$spillway")"
    pkill -KILL -f "^$spillway"
}
# wait_for FILE: until it has some bytes
wait_for() { within 120 test -s "$1"; }
# background COMMAND…: its output in out and err; sets $job
background() {
    : >out
    "$@" >out 2>err </dev/null &
    job=$!
}
# ended SECONDS WHAT: waits for $job, at most so long; sets $code
ended() {
    local begin=$EPOCHREALTIME took
    if ! within "$1" gone "$job"; then
        fail "$2: still running after $1 s"
        kill -KILL "$job"
    fi
    wait "$job"
    code=$?
    took=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    echo "$2: exit $code after $took s: $(grep '^spillway' err | head -n 1)"
}

# A full device: standard output, a dump, and a small file system when root may mount one.
for verb in "run $shakespeare hello -n 20" "run $shakespeare hello -n 20 --json" \
    "run $shakespeare hello -n 20 --no-stream" "inspect $shakespeare" "--help" "run --help" \
    "plan $shakespeare --cluster 1x(host:8G)" "probe -q" \
    "trace $shakespeare --tokens 1 --dump a.safetensors"; do
    # shellcheck disable=SC2086 # words
    timeout 300 "$spillway" $verb >/dev/full 2>err
    code=$?
    : >out
    expect 5 "$verb to a full device"
    grep -q 'cannot write to standard output' err || fail "$verb to a full device"
done
timeout 300 mpirun -np 2 "$spillway" trace "$shakespeare" --tokens 1,2 --dump /dev/full >out 2>err
code=$?
expect 5 "a dump to a full device"
one_message "a dump to a full device" "/dev/full: .*No space left on device"
mkdir disk
if mount -t tmpfs -o size=64k tmpfs disk 2>/dev/null; then
    cleanups+=("umount '$work/disk'")
    sw trace "$shakespeare" --tokens 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21 \
        --dump disk/a.safetensors
    expect 5 "a dump to a full disk"
    one_message "a dump to a full disk" "disk/a.safetensors.*No space left on device"
    [ -z "$(ls disk)" ] || fail "a dump to a full disk: left $(ls disk)"
fi

# A model that is busy for a while: no file, no tokenizer.
mkdir busy
cat >busy/config.json <<'JSON'
{"model_type": "llama", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 12,
 "num_attention_heads": 16, "vocab_size": 2000, "max_position_embeddings": 100000,
 "rms_norm_eps": 1e-5, "torch_dtype": "bfloat16"}
JSON
# shellcheck disable=SC2054 # commas are meant
long=(run busy --weights-from random --tokens 1,2,3 -n 30000 --context 40000 -v)

all_placed() { [ "$(pgrep -fc "^$spillway")" = 3 ] && grep -q 'layers' err; }
for victim in 0 1 2; do
    background mpirun -np 3 "$spillway" "${long[@]}" --timeout 10
    within 120 all_placed || fail "rank $victim: three ranks are not there"
    sleep 3
    pid=$(pgrep -f "^$spillway" | while read -r p; do
        tr '\0' '\n' <"/proc/$p/environ" | grep -qx "OMPI_COMM_WORLD_RANK=$victim" && echo "$p"
    done)
    [ -n "$pid" ] && kill -KILL "$pid" || fail "rank $victim is not there"
    ended 90 "rank $victim killed"
    [ "$code" = 0 ] && fail "rank $victim killed: exit code 0"
    [ "$(grep -c '^spillway.* is gone' err)" = 1 ] || fail "rank $victim killed: not one message"
    grep -q "rank $victim on .* is gone" err || fail "rank $victim killed: not named"
    nobody_left "rank $victim killed"
done

catches_term() { # the job does not end by the signal itself any more
    local caught
    caught=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$job/status" 2>/dev/null)
    [ $((0x0$caught >> 14 & 1)) = 1 ]
}
# A stop: exit code 75 and a message, alone and under mpirun.
for signal in TERM USR1 INT; do
    background env "$spillway" "${long[@]}"
    [ "$signal" = INT ] || within 120 catches_term || fail "$signal alone: no start"
    sleep 1
    kill -$signal "$job"
    ended 60 "$signal alone"
    [ "$signal" = INT ] && [ "$code" = 137 ] && continue # a shell's background job ignores INT
    expect 75 "$signal alone"
    one_message "$signal alone" "stop|interrupt"
    nobody_left "$signal alone"
done
background mpirun -np 2 "$spillway" "${long[@]}"
within 120 grep -q 'rank 1 on .*layers' err || fail "USR1 to mpirun: no start"
sleep 1
kill -USR1 "$(pgrep -P $$ -x mpirun || echo "$job")"
ended 90 "USR1 to mpirun"
expect 75 "USR1 to mpirun"
[ "$(grep -cE '^spillway.*(stop|interrupt)' err)" = 1 ] || fail "USR1 to mpirun: not one message"
nobody_left "USR1 to mpirun"

# A weight file that is cut, replaced or removed between its header and its data: run waits for
# the prompt on standard input when it has read the headers.
mkfifo prompt
reads_prompt() { # a rank is in the system call `read` (0 or 63) of descriptor 0
    local p
    for p in $(pgrep -f "^$spillway run lost"); do
        grep -Eqs '^(0|63) 0x0 ' "/proc/$p/syscall" && return
    done
    return 1
}
for harm in "truncate -s 100K" "cp $models/tiny/gpt2/config.json" rm; do
    for n in 1 2; do
        rm -rf lost
        cp -r "$shakespeare" lost
        background bash -c "exec mpirun -np $n '$spillway' run lost -n 5 <prompt"
        exec 9>prompt
        within 60 reads_prompt
        sleep 2 # rank 1 may be a little behind
        $harm lost/model.safetensors
        echo hello >&9
        exec 9>&-
        ended 120 "${harm%% *} of the weights on $n ranks"
        expect 3 "${harm%% *} of the weights on $n ranks"
        one_message "${harm%% *} of the weights on $n ranks" "lost/model.safetensors"
        nobody_left "${harm%% *} of the weights on $n ranks"
    done
done
finish
