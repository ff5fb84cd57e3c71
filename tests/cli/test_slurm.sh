#!/bin/bash
# A real Slurm of three pretend hosts: launch/slurm.sbatch with srun and mpirun, one rank without
# either, arrays, jobs of parts, a time limit and a requeue, and job files that sbatch accepts.
# $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
root=$(cd "$here/../.." && pwd)
if [ "$(id -u)" != 0 ] || ! unshare -n -u -i -m true 2>/dev/null; then
    echo "skipped: pretend hosts need root and namespaces"
    exit 77
fi
for program in slurmctld slurmd munged; do
    [ -x "/usr/sbin/$program" ] && continue
    echo "skipped: there is no $program (Debian: slurmctld slurmd slurm-client munge)"
    exit 77
done
# What this job's environment says is not for the jobs of this test.
unset "${!SLURM_@}" "${!OMPI_MCA_btl@}" "${!OMPI_MCA_pml@}"
unset OMPI_MCA_rmaps_base_oversubscribe OMPI_MCA_hwloc_base_binding_policy
export SW_HOSTS=$work/hosts SPILLWAY=$spillway
slurm() { bash "$root/tests/slurm.sh" "$@"; }
cleanups+=("bash '$root/tests/slurm.sh' down")
slurm up 3 2 "$here/slurm_clusters.conf" || exit 1
script=$root/launch/slurm.sbatch
shakespeare=$models/shakespeare
prompt=$'GLOUCESTER:\nNow is the winter of'
: >out
: >err

# submit [OPTION…] SCRIPT…: a job; sets $job, $log (its messages) and $answer (its output)
submit() {
    job=$(slurm exec sbatch --parsable --output="$work/%j.out" --error="$work/%j.log" "$@" 2>err) ||
        fail "sbatch $*"
    log=$work/$job.log
    answer=$work/$job.out
}
# ended STATE CODE WHAT
ended() {
    local state
    state=$(slurm wait "$job" 90) || fail "$3: still $state"
    [[ $state =~ JobState=$1\ .*ExitCode=${2:-[0-9]+}: ]] || {
        cp "$log" out
        fail "$3: $state, not $1 with exit code $2"
    }
}
pending() { slurm exec squeue -h -t PENDING -j "$job" 2>/dev/null | grep -q .; }
# says PATTERN WHAT [SECONDS]: a line of the job's log; waits for it a little
says() {
    within $((5 * ${3:-12})) grep -Esq -- "$1" "$log" && return
    cp "$log" out
    fail "$2: the log does not say \"$1\""
}
# text WHAT: the job's output is the text of one rank
text() {
    diff one.txt "$answer" >out || fail "$1: another text"
}
step() { echo "$(($(date +%s) - begin)) s: $*"; }
begin=$(date +%s)

sw run "$shakespeare" "$prompt" -n 24
expect 0 "one rank"
cp out one.txt

step "three nodes, both launchers, other numbers of tasks"
for form in "srun --nodes=3" "srun --nodes=2 --ntasks-per-node=2" "srun --ntasks=3 --cpus-per-task=2" \
    "mpirun --nodes=3" "mpirun --nodes=2 --ntasks-per-node=2" "mpirun --ntasks=3 --cpus-per-task=2" \
    "srun --nodes=1"; do
    read -r launcher options <<<"$form"
    # shellcheck disable=SC2086 # words
    SPILLWAY_LAUNCHER=$launcher submit $options "$script" run "$shakespeare" "$prompt" -n 24
    ended COMPLETED 0 "$form"
    says "slurm.sbatch: .*$launcher " "$form" # spillway-mpirun, where it is
    text "$form"
    ranks=$(grep -Ec '^spillway: rank [0-9]+ on h[1-3]: (layers? |no layers)' "$log")
    case $form in
    *--nodes=2*) [ "$ranks" = 4 ] || fail "$form: $ranks ranks, not 4" ;;
    *=3*) [ "$ranks" = 3 ] || fail "$form: $ranks ranks, not 3" ;;
    *) [ "$ranks" = 0 ] || fail "$form: $ranks ranks, not one" ;;
    esac
done

step "a probe, a bench and a trace with srun"
submit --nodes=3 "$script" probe --json -q
ended COMPLETED 0 "probe"
[ "$(grep -c '"name": "h[123]"' "$answer")" = 3 ] || fail "probe: not three nodes"
submit --nodes=2 "$script" bench "$shakespeare" -p 8 -n 4 -r 1
ended COMPLETED 0 "bench"
for n in 1 3; do
    submit --nodes=$n "$script" trace "$shakespeare" --tokens 1,5,9,2 --hidden --dump "$work/$n.st"
    ended COMPLETED 0 "trace on $n"
done
cmp 1.st 3.st || fail "trace: other bits on three nodes"

step "one rank inside a job, without srun and mpirun"
cat >single.sbatch <<'JOB'
#!/bin/bash
"$SPILLWAY" "$@"
JOB
submit --nodes=3 single.sbatch run "$shakespeare" "$prompt" -n 24
ended COMPLETED 0 "no launcher in sbatch"
text "no launcher in sbatch"
timeout 300 bash "$root/tests/slurm.sh" exec salloc -q --nodes=2 "$spillway" run "$shakespeare" "$prompt" \
    -n 24 >out 2>err
cmp -s out one.txt || fail "no launcher in salloc: another text"

step "what is refused"
timeout 300 bash "$root/tests/slurm.sh" exec srun --nodes=3 "$spillway" run "$shakespeare" hello >out 2>err
code=$?
expect 2 "srun without --mpi=pmix"
[ "$(grep -c '^spillway' err)" = 1 ] || fail "srun without --mpi=pmix: not one message"
grep -q 'use .srun --mpi=pmix' err || fail "srun without --mpi=pmix: no remedy"
submit --nodes=2 "$script" run no-such-model hello
ended FAILED 3 "no such folder or file"
submit "$script"
ended FAILED 2 "no command"
says "no command was given" "no command"
SPILLWAY=/no/such/program submit "$script" run "$shakespeare" hello
ended FAILED 2 "no program"
says "program '/no/such/program' was not found" "no program"

step "a start that crashes before the ranks have met"
SPILLWAY=$(dirname "$spillway")/tests/mpi_echo submit --nodes=2 "$script" crash 2 "$work/starts"
ended COMPLETED 0 "a start that crashes"
says 'exit code 139. before the ranks had met: trying again .2 of 3' "a start that crashes"
[ "$(wc -c <starts)" = 3 ] && grep -q '^ring 2' "$answer" || fail "a start that crashes: $(wc -c <starts) starts"

step "an array"
for i in 1 2; do
    echo -n "$prompt" >prompt.$i.txt
    echo "-f $work/prompt.$i.txt -n 24"
done >list.txt
for arguments in "-f $work/prompt.%a.txt -n 24" "@$work/list.txt"; do
    # shellcheck disable=SC2086 # words
    submit --array=1-2 --output="$work/array-%a.out" --error="$work/array-%a.log" \
        "$script" run "$shakespeare" $arguments
    ended COMPLETED 0 "array with $arguments"
    for i in 1 2; do
        log=$work/array-$i.log
        answer=$work/array-$i.out
        says "ended with exit code 0" "task $i of the array with $arguments" 30
        says "task $i of the array" "task $i of the array with $arguments"
        text "task $i of the array with $arguments"
    done
    rm -f array-*
done

step "job files of plan --sbatch"
sw plan "$shakespeare" --sbatch="$work/parts.sbatch" --slices 2,2,2 \
    --cluster "1x(host:1G) + 2x(host:1G cores:2)"
expect 0 "plan --sbatch"
submit --partition=hosts parts.sbatch run "$shakespeare" "$prompt" -n 24
# On a busy machine Slurm 22.05's srun may hang although it has heard that all tasks of both parts ended.
if ! slurm wait "$job" 75 >out && grep -q '^srun: First task exited 60s ago' "$log"; then
    echo "srun did not end after both parts had: once more"
    slurm exec scancel "$job"
    submit --partition=hosts parts.sbatch run "$shakespeare" "$prompt" -n 24
fi
ended COMPLETED 0 "a job of two parts"
says 'srun .*--het-group=0.* --het-group=1' "a job of two parts"
text "a job of two parts"
[ "$(grep -c '^spillway: rank [0-2] on h[123]: layers' "$log")" = 3 ] || fail "a job of two parts: not 3 ranks"
SPILLWAY_LAUNCHER=mpirun submit --partition=hosts parts.sbatch run "$shakespeare" "$prompt"
ended FAILED 2 "a job of two parts with mpirun"
sw plan "$shakespeare" --sbatch=/dev/full --cluster "1x(host:1G)"
expect 5 "a job file on a full device"
check=0
for form in "student gpt-j-6b" "lab opt-30b" "lab2 opt-66b" "cpu-only mixtral-8x7b" \
    "big llama-3.1-405b --context 8192" "lab2 opt-66b --objective throughput --slots 16"; do
    read -r cluster model options <<<"$form"
    # shellcheck disable=SC2086 # words
    sw plan "$root/tests/plan/configs/$model" --cluster "$root/hostfiles/$cluster" --sbatch $options
    expect 0 "$form"
    cp out "job.sbatch"
    slurm exec sbatch --test-only --partition="$cluster" job.sbatch >out 2>err && grep -q 'to start at' err ||
        fail "sbatch --test-only: $form"
    check=$((check + 1))
done
[ $check = 6 ] || fail "not all job files were tried"

step "a time limit: asked to stop, queued again; then cancelled"
mkdir busy
cat >busy/config.json <<'JSON'
{"model_type": "llama", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 12,
 "num_attention_heads": 16, "vocab_size": 2000, "max_position_embeddings": 100000,
 "rms_norm_eps": 1e-5, "torch_dtype": "bfloat16"}
JSON
# shellcheck disable=SC2054 # commas are meant
long=(run "$work/busy" --weights-from random --tokens 1,2,3 -n 30000 --context 40000 --slices 6,6)
submit --time=1 --signal=B:USR1@45 --nodes=2 "$script" "${long[@]}"
says 'received USR1: stopping' "a time limit" 60
# Slurm may send it a minute early, when ranks are still starting: the signal ends these
says 'exit code [0-9]+: to be queued again' "a time limit" 70
grep -q 'exit code 75' "$log" && [ "$(grep -cE '^spillway.*(stop|interrupt)' "$log")" != 1 ] &&
    fail "a time limit: not one message"
within 60 pending
slurm start "$job"
slurm running "$job" 200 >out || fail "a time limit: does not start again"
says 'restart 1' "a time limit" 10
sleep 1
slurm exec scancel "$job"
ended CANCELLED '' "cancelled"
sleep 1
slurm exec squeue -h -j "$job" | grep -q . && fail "a cancelled job is in the queue again"

step "mpirun: the same stop, by hand"
SPILLWAY_LAUNCHER=mpirun submit --nodes=2 "$script" "${long[@]}"
says 'rank 1 on h[123]: layers' "a stop with mpirun" 20
slurm exec scancel --batch --signal=USR1 "$job"
says 'exit code 75: to be queued again' "a stop with mpirun" 20
slurm exec scancel "$job"

answers() { cat cut.jsonl 2>/dev/null | wc -l; }
more_answers() { [ "$(answers)" -gt "$done_before" ]; } # this turn has done something
# with_batch: two preemptions of a batch job; every id once, the answers of an undisturbed run
with_batch() {
    local i n=200 done_before=0 verdict
    for i in $(seq $n); do
        echo "{\"id\": \"p$i\", \"prompt\": \"The word number $i is\", \"max_tokens\": 100}"
    done >in.jsonl
    sw batch "$shakespeare" in.jsonl whole.jsonl
    expect 0 "batch, undisturbed"
    submit --nodes=3 "$script" batch "$shakespeare" "$work/in.jsonl" "$work/cut.jsonl"
    for i in 1 2; do
        slurm running "$job" 200 >out || fail "batch: does not run"
        within 60 more_answers
        if [ $i = 1 ]; then # as the time limit does it
            slurm exec scancel --batch --signal=USR1 "$job"
            says 'exit code 75: to be queued again' "batch: asked to stop" 20
        else # as a preemption does it that leaves no time
            slurm exec scontrol requeue "$job"
        fi
        within 60 pending
        echo "preemption $i: $(answers) of $n answers are there"
        [ "$(answers)" -gt "$done_before" ] && [ "$(answers)" -lt $n ] ||
            fail "batch: preemption $i did not come in its middle"
        done_before=$(answers)
        slurm start "$job"
    done
    ended COMPLETED 0 "batch after two preemptions"
    says 'restart 2' "batch after two preemptions"
    verdict=$(python3 -c "
import json
whole = {r['id']: r for r in map(json.loads, open('whole.jsonl'))}
lines = [json.loads(l) for l in open('cut.jsonl')]
cut = {r['id']: r for r in lines}
assert len(lines) == len(cut) == len(whole) == $n, (len(lines), len(cut), len(whole))
assert all(cut[i]['ids'] == whole[i]['ids'] for i in whole)
print('same')" 2>&1)
    [ "$verdict" = same ] || fail "batch after two preemptions: $verdict"
}
if "$spillway" batch --help >/dev/null 2>&1; then
    step "a batch, preempted twice"
    with_batch
else
    echo "this program has no batch: its preemptions are not tested"
fi
step "done"
finish
