#!/bin/bash
# Runs that are killed at random moments and resumed until they are done: each line answered exactly
# once, each greedy answer as in an undisturbed run. A harm is one of: KILL of a rank, KILL of
# mpirun, TERM, USR1, a rank stopped for good, and on pretend hosts (root) a cut or a frozen host.
# After each the exit code and the message must be right: who was lost, and on which host.
#
#   tests/soak/kills.sh PROGRAM [--runs N] [--seed N] [--lines N] [--timeout T] [--keep]
#
# A run: one input, done in the end on 1 to 4 ranks, after 1 to 4 harms, some on another number of
# ranks, with the default --timeout. --keep leaves the work folder. Says what it did, a line a run and
# one a harm; the last lines count harms.
set -u
program=$(readlink -f "${1:-}")
[ -x "$program" ] || {
    sed -n '2,11s/^# \{0,1\}//p' "$0"
    exit 2
}
shift
runs=100 seed=1 lines=120 keep='' timeout_s=''
while [ $# -gt 0 ]; do
    case $1 in
    --runs) runs=$2 && shift ;;
    --seed) seed=$2 && shift ;;
    --lines) lines=$2 && shift ;;
    --timeout) timeout_s=$2 && shift ;;
    --keep) keep=1 ;;
    *) echo "unknown option $1" && exit 2 ;;
    esac
    shift
done
RANDOM=$seed
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mpi_env.sh
. "$here/../mpi_env.sh"
# shellcheck source=tests/within.sh
. "$here/../within.sh"
unset OMPI_MCA_orte_execute_quiet
launcher=$here/../../launch/spillway-mpirun
hosts_sh=$here/../hosts.sh
model=$here/../models/shakespeare
work=$(mktemp -d)
cp "$program" "$work/spillway-soak" # a name of our own
program=$work/spillway-soak
export SW_HOSTS=$work/hosts SW_MPIRUN=$launcher TMPDIR=$work SPILLWAY_START_S=60
hosts() { bash "$hosts_sh" "$@"; }
pretend=
[ "$(id -u)" = 0 ] && unshare -n -m -u -i true 2>/dev/null && pretend=1
leave() {
    [ -z "$pretend" ] || hosts down
    [ -n "$keep" ] || rm -rf "$work"
}
trap leave EXIT
cd "$work" || exit 1
die() {
    echo "FAILED: $*"
    echo "  seed $seed, run $run:$story; what the job said:"
    tail -n 20 err | sed 's/^/    /'
    keep=1
    echo "  its files: $work"
    exit 1
}
number_in() { echo $(($1 + RANDOM % ($2 - $1 + 1))); }
pick() { # WORD…
    local words=("$@")
    echo "${words[RANDOM % $#]}"
}

python3 - "$lines" <<'PYTHON'
import json, sys
with open("in.jsonl", "w") as out:
    for i in range(int(sys.argv[1])):
        text = ["KING HENRY:", "ROMEO: what light", "Now is the winter of", "O, "][i % 4]
        json.dump({"id": f"line-{i}", "prompt": f"{text} {i}", "max_tokens": 8 + 7 * i % 60}, out)
        out.write("\n")
PYTHON
cat >check.py <<'PYTHON'
import json, sys
def read(name):
    answers, last = {}, 0
    for line in open(name, "rb").read().split(b"\n")[:-1]:
        answer = json.loads(line)
        if answer["id"] in answers: sys.exit(f"{name}: {answer['id']} is there twice")
        answers[answer["id"]] = answer
    return answers
want, got = read("want.jsonl"), read(sys.argv[1])
for i in want:
    if i not in got: sys.exit(f"{i} is missing: {len(got)} of {len(want)} are there")
    for key in ("text", "ids", "finish_reason", "prompt_tokens", "generated_tokens"):
        if want[i].get(key) != got[i].get(key): sys.exit(f"{i}: {key} is not as undisturbed: {want[i]} {got[i]}")
if len(got) != len(want): sys.exit("there are more answers than lines")
PYTHON

# start RANKS: here, or with $on_hosts on the pretend hosts
start() {
    local command=("$program" batch "$model" "$work/in.jsonl" "$work/out.jsonl"
        ${timeout_s:+--timeout "$timeout_s"} --threads 1 --slots "$(number_in 2 9)")
    if [ -n "$on_hosts" ]; then
        hosts mpirun -np "$1" "${command[@]}" >out 2>err </dev/null &
    else
        "$launcher" -np "$1" "${command[@]}" >out 2>err </dev/null &
    fi
    job=$!
}
ranks() { pgrep -f "^$program batch"; }
one_rank() {
    local pids
    mapfile -t pids < <(ranks)
    [ ${#pids[@]} -gt 0 ] && pick "${pids[@]}"
}
the_mpirun() { pgrep -f "^mpirun .*$program"; }
harm() { # KIND
    local pid=
    case $1 in
    kill-rank) pid=$(one_rank) && whose "$pid" && kill -KILL "$pid" ;;
    stop-rank) pid=$(one_rank) && whose "$pid" && kill -STOP "$pid" ;;
    kill-mpirun) pid=$(the_mpirun) && kill -KILL "$pid" ;;
    term) pid=$(supervisor) && kill -TERM "$pid" ;;
    usr1) pid=$(supervisor) && kill -USR1 "$pid" ;;
    term-ranks) pid=$(ranks) && echo "$pid" | xargs kill -TERM ;;
    cut) host=h$(number_in 1 3) && hosts cut "$host" ;;
    cut-pair) hosts cut h2 h3 ;;
    freeze) host=h$(number_in 2 3) && rank=$((${host#h} - 1)) && hosts freeze "$host" ;;
    esac 2>/dev/null
}
# whose PID: its $rank and $host
whose() {
    rank=$(tr '\0' '\n' <"/proc/$1/environ" | sed -n 's/^OMPI_COMM_WORLD_RANK=//p')
    host=$(hostname)
    [ -z "$on_hosts" ] || host=h$((rank + 1))
    [ -n "$rank" ]
}
met_or_gone() { met || gone $job; }
met() { compgen -G "$work/spillway-status.*/met" >/dev/null; }
# The message that a harm must leave once the ranks had met: a pattern for one line of `err`.
wanted() { # KIND RANKS
    local layers='( \([^)]*\))?' stop='^spillway: .*a stop was requested \(signal' silent
    silent="gave no sign of life to rank [0-9]+ on"
    case $1.$2 in
    kill-rank.1) echo "process rank 0 with PID 0 on node $host exited on signal 9" ;;
    kill-rank.*) echo "^spillway: rank $rank on $host$layers is gone: its process has ended" ;;
    stop-rank.* | freeze.*) echo "^spillway: rank $rank on $host$layers $silent" ;;
    kill-mpirun.*) echo '^spillway-mpirun: mpirun or a rank was killed \(code 137\)' ;;
    term.* | usr1.*) echo "$stop 10\)" ;;
    term-ranks.*) echo "$stop 15\)" ;;
    cut.*) echo "^spillway: rank [0-9] on ($host$layers $silent h[1-3]|h[1-3]$layers $silent $host)" ;;
    cut-pair.*) echo "^spillway: rank (1 on h2$layers $silent h3|2 on h3$layers $silent h2)" ;;
    esac
}
# … and before: the start is tried again, or says that the ranks have not met.
unmet_wanted='the start failed .* before the ranks had met|have not reached each other|still starting|networks of'
unmet_wanted+='|before the ranks had met|before it had started|did not start the ranks|mpirun lost a host'
unmet_wanted+='|no rank reported the cause|no rank reported that the job was done'
# judge KIND RANKS: of a job that has ended with $code after it
judge() {
    local pattern line seconds
    pattern=$(wanted "$1" "$2")
    [ -n "$had_met" ] || pattern+="|$unmet_wanted"
    line=$(grep -E -m 1 -- "$pattern" err)
    seconds=$(awk -v a="$harmed" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    echo "    $1${rank:+ of rank $rank}${host:+ on $host}, ${had_met:-before the ranks had met}: exit $code" \
        "after $seconds s: ${line:0:110}"
    [ "$code" != 0 ] || return 0 # it was done before
    [ -n "$line" ] || die "$1 of rank ${rank:-?} on ${host:-?}: no message like '$pattern'"
    [ "$(grep -cE '^spillway: .*run the same command again' err)" -le 1 ] || die "$1: more than one message"
    # stopped before the ranks had found each other: that could be a wrong network as well
    [ -z "$had_met" ] && [ "$code" = 5 ] && grep -qE 'have not reached|networks of' err && code=75
    [ "$code" = 75 ] || die "exit code $code after $1"
}
supervisor() { pgrep -f "^/bin/bash $launcher .*$program" | head -n 1; }
# What outlives the job only as long as the harm lasts: a stopped rank, a frozen host.
mend() {
    local host pid
    for pid in $(ranks); do kill -CONT "$pid" 2>/dev/null; done
    if [ -n "$on_hosts" ]; then
        for host in h1 h2 h3; do hosts thaw $host; done
        for host in h1 h2 h3; do hosts heal $host; done
        hosts heal h2 h3
    fi 2>/dev/null
    within 10 none_left "^$program batch" || die "ranks are left: $(pgrep -fa "^$program")"
}
# ended SECONDS: waits for the job; sets $code
ended() {
    within "$1" gone "$job" || die "still running after $1 s"
    wait "$job"
    code=$?
}

run=0 on_hosts='' tally='' story='' rank='' host='' had_met=''
begin=$EPOCHREALTIME
start 1
ended 600
[ $code = 0 ] || die "the undisturbed run: exit code $code"
whole=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.0f", 1000 * (b - a) }')
mv out.jsonl want.jsonl
rm -rf out.jsonl.*
for ((run = 1; run <= runs; run++)); do
    story=
    rm -rf out.jsonl*
    on_hosts=
    [ -n "$pretend" ] && [ $((RANDOM % 3)) = 0 ] && on_hosts=1
    [ -z "$on_hosts" ] || hosts up 3 || die "no hosts"
    for ((left = $(number_in 1 4); ; left--)); do
        n=$([ -n "$on_hosts" ] && echo 3 || number_in 1 4)
        start "$n"
        story+=" $n:"
        [ $left -gt 0 ] || break
        [ $((RANDOM % 6)) = 0 ] || within 60 met_or_gone
        sleep "0.$(printf %03d $((RANDOM % 1000)))"
        sleep "$(awk -v w="$whole" -v r=$RANDOM 'BEGIN { printf "%.3f", w / 1000 * r / 32768 }')"
        if [ -n "$on_hosts" ]; then
            kind=$(pick kill-rank usr1 cut cut-pair freeze)
        else
            kind=$(pick kill-rank kill-rank stop-rank kill-mpirun term usr1 term-ranks)
            [ "$n$kind" = 1stop-rank ] && kind=kill-rank # nobody is there to notice
        fi
        rank='' host='' had_met='' harmed=$EPOCHREALTIME
        met && had_met="ranks had met"
        kill -0 $job 2>/dev/null && harm "$kind" && story+=$kind && tally+=$kind$'\n' || kind=
        ended 150
        [ -z "$kind" ] || judge "$kind" "$n"
        mend
        [ $code = 0 ] && break # it was done before
        [ $code = 75 ] || die "exit code $code without a harm"
        story+="($(cat out.jsonl 2>/dev/null | wc -l))"
    done
    # Undisturbed to the end; a start that mpirun did not manage is tried again, as its message says.
    for again in yes yes no; do
        [ $left -gt 0 ] && break
        ended 300
        [ $code = 0 ] && break
        [ "$code$again" = 75yes ] && grep -q 'did not start the ranks' err ||
            die "the last run: exit code $code"
        start "$n"
        story+=" (again)"
    done
    python3 check.py out.jsonl || die "the answers are not those of the undisturbed run"
    [ -z "$on_hosts" ] || hosts down
    echo "run $run${on_hosts:+ on three hosts}:$story done"
done
echo "$runs runs, every line exactly once and as undisturbed. Harms:"
sort <<<"$tally" | grep . | uniq -c
