#!/bin/bash
# Three pretend hosts under launch/spillway-mpirun, and what can happen to them while the model is
# loaded and while it computes: the job ends in time with one message that names rank, host and
# layers, with exit code 75, and nobody is left anywhere; what is no failure is survived. Needs root.
# $1: the program. Faults run side by side, each on hosts of its own.
set -u
spillway=$1
if [ "$(id -u)" != 0 ] || ! unshare -n -m -u -i true 2>/dev/null; then
    echo "skipped: pretend hosts need root and namespaces"
    exit 77
fi
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
hosts_sh=$here/../hosts.sh
export SW_MPIRUN=$here/../../launch/spillway-mpirun
at_once=4 # faults at a time
timeout=(--timeout 8) # and the default, where it says so
cleanups+=('for d in "$work"/*/hosts; do SW_HOSTS=$d bash "$hosts_sh" down; done')

mkdir busy
cat >busy/config.json <<'JSON'
{"model_type": "llama", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 12,
 "num_attention_heads": 16, "vocab_size": 2000, "max_position_embeddings": 100000,
 "rms_norm_eps": 1e-5, "torch_dtype": "bfloat16"}
JSON
# Loading takes some seconds, the long text some minutes.
# shellcheck disable=SC2054 # commas are meant
long=(run "$work/busy" --weights-from random --slices 4,4,4 --threads 1
    --tokens 1,2,3 -n 30000 --context 40000)
# shellcheck disable=SC2054
short=(run "$work/busy" --weights-from random --slices 4,4,4 --threads 1 --tokens 1,2,3 -n 400
    --context 500 --json)

hosts() { bash "$hosts_sh" "$@"; }
note() { echo "$*" >>failed; }
ours() { # HOST: processes of the program there
    local p
    for p in $(hosts processes "$1"); do
        [ "$(readlink "/proc/$p/exe" 2>/dev/null)" = "$spillway" ] && echo "$p"
    done
}
kill_rank() { # HOST
    local pids
    mapfile -t pids < <(ours "$1")
    kill -KILL "${pids[@]}"
}
stop_rank_for() { # SECONDS HOST
    local pids
    mapfile -t pids < <(ours "$2")
    kill -STOP "${pids[@]}"
    sleep "$1"
    kill -CONT "${pids[@]}"
}
with_timeout() { # default|SECONDS COMMAND…
    timeout=(--timeout "$1")
    [ "$1" != default ] || timeout=()
    shift
    "$@"
}
gap() { # SECONDS HOST: it is cut off for so long
    hosts cut "$2" && sleep "$1" && hosts heal "$2"
}
# Links of 20 Mbit/s that drop out for 200 ms now and then.
bad_links() {
    hosts slow h2 20mbit || return 1
    for _ in 1 2 3 4 5 6 7 8; do
        hosts cut h1 h2 && hosts cut h2 h3
        sleep 0.2
        hosts heal h1 h2 && hosts heal h2 h3
        sleep 0.3
    done
}
said_or_gone() { grep -q "$1" err || gone "$job"; }
# until_line PATTERN: the job says so.
until_line() {
    within 300 said_or_gone "$1" && return
    note "no '$1' in time; the ranks are $(for h in h1 h2 h3; do ours $h; done |
        xargs -r ps -o pid=,stat=,time=,wchan= -p | tr '\n' ';')"
}
# Loading says so when it has taken more than a second.
until_computing() { within 30 grep -q 'making up weights: .* in ' err; }
empty_hosts() {
    local host
    for host in "$@"; do [ -z "$(hosts processes "$host")" ] || return; done
}
nobody_on() { # HOST…
    local host
    within 90 empty_hosts "$@" && return
    for host in "$@"; do
        for p in $(hosts processes "$host"); do
            note "left on $host: $(tr '\0' ' ' <"/proc/$p/cmdline")"
        done
    done
}
begin() { # COMMAND…: three hosts, and the job on them
    hosts up 3 || note "no hosts"
    [ -z "${memory_of_h3:-}" ] || hosts memory h3 "$memory_of_h3" || note "no memory group"
    hosts mpirun -np 3 "$spillway" "$@" "${timeout[@]}" >out 2>err </dev/null &
    job=$!
    until_line 'rank 2 on h3: layers\?'
}
# ended SECONDS: waits for the job, at most so long; sets $code.
ended() {
    local start=$EPOCHREALTIME
    if ! within "$1" gone $job; then
        note "still running after $1 s"
        hosts down # which ends it
    fi
    wait $job
    code=$?
    awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f\n", b - a }' >took
}
# fault WHEN SECONDS PATTERN COMMAND…: during loading or computing the command happens; the job must
# end within SECONDS with a message that matches.
fault() {
    local when=$1 seconds=$2 pattern=$3
    shift 3
    if [ "$when" = loading ]; then
        begin "${long[@]}" --weights f32
    else
        begin "${long[@]}"
        until_computing
    fi
    sleep 0.5
    "$@" || note "could not: $*"
    ended "$seconds"
    [ "$code" = 75 ] || note "exit code $code"
    [ "$(grep -cE '^spillway: .* run the same command again' err)" = 1 ] || note "not one message"
    grep -qE "^spillway: $pattern" err || note "the message does not say '$pattern'"
    if [ "$1 $2" = "hosts freeze" ]; then hosts thaw "$3"; fi
    nobody_on h1 h2 h3
}
# survives COMMAND…: the job computes on as if nothing had happened.
survives() {
    begin "${short[@]}"
    "$@" || note "could not: $*"
    ended 300
    [ "$code" = 0 ] && grep -q '"generated_tokens": 400' out || note "exit code $code"
    nobody_on h1 h2 h3
}
# Other processes of the host take what memory there is, each less than the rank has, so that the
# kernel kills the rank.
take_memory() { # HOST
    # shellcheck disable=SC2016 # expanded there
    hosts exec "$1" bash -c 'for i in $(seq 22); do
        python3 -c "import time; x = b\"x\" * 100000000; time.sleep(30)" &
    done; wait' &
}
out_of_memory() {
    local memory_of_h3=2G
    fault computing 400 "rank 2 on h3 $layers is gone" take_memory h3 # filling it takes a while
}
# The status file is on rank 0's host only, as without a shared disk.
private_status() {
    mkdir -p private
    hosts up 3
    for h in h2 h3; do hosts exec $h mount -t tmpfs tmpfs "$PWD/private"; done
    export SPILLWAY_STATUS=$PWD/private/status
    hosts mpirun -np 3 "$spillway" "${long[@]}" "${timeout[@]}" >out 2>err </dev/null &
    job=$!
    until_computing
    kill_rank h3
    ended 60
    [ "$code" = 75 ] || note "exit code $code"
    [ "$(grep -c '^spillway: rank 2 on h3 .* is gone' err)" = 1 ] || note "not one message"
    grep -qx 'exit 75' private/status/status || note "no status file"
    nobody_on h1 h2 h3
}

# shellcheck disable=SC2034 # used in the faults' commands
{
layers='\(layers? [0-9-]+\)'
gone="rank 1 on h2 $layers is gone"
silent="gave no sign of life to rank [012] on h[123] $layers"
}
# name | what happens. Noticed within the timeout or at once; then mpirun has up to 10 s to notice, and a
# busy machine as long again. What was noticed too late says so: `silent`, not `gone`.
faults='a rank killed while loading|fault loading 60 "$gone" kill_rank h2
a rank killed|fault computing 60 "$gone" kill_rank h2
a node out of memory|out_of_memory
a host cut off while loading|fault loading 60 "rank [012] on h[123] $layers $silent" hosts cut h2
rank 0 cut off|fault computing 60 "rank [012] on h[123] $layers $silent" hosts cut h1
a cut between two workers|fault computing 60 "rank [12] on h[23] $layers $silent" hosts cut h2 h3
a host frozen while loading|fault loading 60 "rank 2 on h3 $layers $silent" hosts freeze h3
a host frozen|fault computing 60 "rank 1 on h2 $layers $silent" hosts freeze h2
a rank stopped for 3 s|survives stop_rank_for 3 h2
a slow link with gaps|with_timeout default survives bad_links
a host cut off, at the default timeout|with_timeout default fault computing 75 "rank [012] on h[123] $layers $silent for (1[5-9]|2[0-9])" hosts cut h2
a host frozen, at the default timeout|with_timeout default fault computing 75 "rank 1 on h2 $layers $silent for (1[5-9]|2[0-9])" hosts freeze h2
a gap of 7 s at the default timeout|with_timeout default survives gap 7 h2
a gap of 20 s at --timeout 60|with_timeout 60 survives gap 20 h3
a status file of one host|private_status'

# A kernel without memory groups cannot be made to run out of memory.
if ! { mkdir /sys/fs/cgroup/memory/sw-try || grep -qw memory /sys/fs/cgroup/cgroup.controllers; } 2>/dev/null; then
    echo "skipped: a node out of memory (no memory groups here)"
    faults=$(grep -v '^a node out of memory' <<<"$faults")
fi
rmdir /sys/fs/cgroup/memory/sw-try 2>/dev/null

# one NAME COMMAND: in a folder and on hosts of its own.
one() {
    mkdir "$work/$1" && cd "$work/$1" || exit 1
    export SW_HOSTS=$PWD/hosts
    : >failed
    eval "$2"
    hosts down
    # Ranks judge a silent one 5 s before mpirun's keep-alive acts. The kernel counts that also while a
    # busy machine does not run the ranks, and then "is gone" comes first: once more.
    [[ $2 == *'$silent'* ]] && grep -q 'does not say' failed && grep -q ' is gone' err || return
    : >failed
    eval "$2"
    hosts down
}
while IFS='|' read -r name command; do
    while [ "$(jobs -rp | wc -l)" -ge $at_once ]; do wait -n; done
    one "$name" "$command" </dev/null >/dev/null 2>&1 &
done <<<"$faults"
wait
while IFS='|' read -r name _; do
    echo "$name: ended $(cat "$work/$name/took") s later: $(grep -h '^spillway: rank.*again' \
        "$work/$name/err")"
    : >out
    cp "$work/$name/err" err
    while read -r what; do fail "$name: $what"; done <"$work/$name/failed"
done <<<"$faults"
finish
