#!/bin/bash
# launch/slurm.sbatch without a Slurm: srun and scontrol are stand-ins that note their arguments.
# What a job runs, first and when it was queued again; when it is queued again. tests/cli/test_slurm.sh
# is the real one. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/../cli/common.sh"
script=$here/../../launch/slurm.sbatch
unset "${!SLURM_@}" "${!SPILLWAY_@}"
export SPILLWAY=$spillway SLURM_JOB_ID=7 SLURM_NTASKS=2
mkdir bin
cat >bin/srun <<'SH'
#!/bin/bash
trap "" USR1 # ends in good order
if [[ " $* " == *" bash -c "* ]]; then # what copies a model: one task a node
    all="$*"
    echo "${all%% bash -c*}" >>"$NOTES/copies"
    while [ "$1" != bash ]; do shift; done
    exec "$@"
fi
echo "$*" >"$NOTES/srun"
for fact in ${FAKE_FACTS:-}; do : >"$SPILLWAY_SUPERVISED/$fact"; done
echo >>"$NOTES/starts"
[ "$(wc -l <"$NOTES/starts")" -le "${FAKE_CRASHES:-0}" ] && exit 139
while [ "$1" != "$SPILLWAY" ]; do shift; done
printf '%s\n' "${@:2}" >"$NOTES/words"
[ -z "${FAKE_FRESH:-}" ] || : >"$FAKE_RESULT"
[ -z "${FAKE_RESULT:-}" ] || echo result >>"$FAKE_RESULT"
[ -z "${FAKE_SIGNAL:-}" ] || kill -"$FAKE_SIGNAL" $PPID
exit "${FAKE_CODE:-0}"
SH
cat >bin/scontrol <<'SH'
#!/bin/bash
echo "$*" >>"$NOTES/scontrol"
SH
printf '#!/bin/bash\n' >bin/sleep # until Slurm ends the script
chmod +x bin/*
export NOTES=$work PATH=$work/bin:$PATH

# job RESTARTS CODE ARGUMENT…: the script with ranks that end with CODE
job() {
    rm -f words scontrol starts
    FAKE_CODE=$2 SLURM_RESTART_COUNT=$1 launch bash "$script" "${@:3}"
    expect "$2" "restart $1: ${*:3}"
}
# ran WORD…: what the ranks were started with
ran() { printf '%s\n' "$@" | cmp -s - words || fail "not started with '$*' but with '$(xargs <words)'"; }

# Results that were to be thrown away were so by the first run; those that are there now are this job's.
job 0 0 batch m in out --fresh -n 5
ran batch m in out --fresh -n 5
job 1 0 batch m in out --fresh -n 5
ran batch m in out -n 5
job 2 0 score --fresh m in out
ran score m in out
job 1 0 run m --fresh # a prompt, or none of this script's business
ran run m --fresh
echo "in.7 out.7 --fresh" >list
SLURM_ARRAY_TASK_ID=1 job 1 0 batch m @list --chunk 4
ran batch m in.7 out.7 --chunk 4
SLURM_ARRAY_TASK_ID=12 job 0 0 batch m in.%a out.%a
ran batch m in.12 out.12

# A job file's own options, for the verbs that have such; the user's options follow them.
"$spillway" plan "$models/shakespeare" --cluster "2x(host:1G cores:2)" --context 100 --kv f32 \
    --sbatch=planned.sbatch 2>err || fail "plan --sbatch"
planned() { script=$work/planned.sbatch job 0 0 "$@"; }
options=(--context 100 --kv f32)
planned
ran batch "${options[@]}" "$(realpath "$models/shakespeare")" prompts.jsonl answers.jsonl
planned score m in out --context 50
ran score "${options[@]}" m in out --context 50
planned run m -- --fresh
ran run "${options[@]}" m -- --fresh
planned probe m
ran probe m

# All that the plan was given goes to the job, and files by paths that hold anywhere.
printf '%s\n' '{"routes": 1, "experts": 5}' '{"layer": 0, "experts": [[0, 1]]}' >"it's routes"
"$spillway" plan "$models/tiny/mixtral" --cluster "1x(host:1G)" --context 100 --transport mpi --share-gpus \
    --timeout 2.5 --chunk 64 --popularity "it's routes" --sbatch=planned.sbatch >out 2>err || fail "plan --sbatch"
options=(--context 100 --chunk 64 --share-gpus --transport mpi --timeout 2.5 --popularity "$(realpath "it's routes")")
planned run m x
ran run "${options[@]}" m x
grep -q "stay in the model's files" planned.sbatch && fail "layers on disk, where memory has room"

# SPILLWAY_LOCAL: models of the command line are copied to each node, once, and read from there.
mkdir -p "the model" nodes
echo '{}' >"the model/config.json"
echo weights >"the model/model.safetensors"
echo gguf >one.gguf
for i in 1 2; do echo "part $i" >"two-0000$i-of-00002.gguf"; done
local_job() { SPILLWAY_LOCAL=$work/nodes SLURM_JOB_NUM_NODES=3 job 0 0 "$@"; }
copied() { sed -n 2p words; } # the model of the last command
rm -f copies
local_job run "the model" x
to=$(copied)
[[ $to == "$work"/nodes/*"/the model" ]] && diff -r "the model" "$to" || fail "not copied: $to"
ran run "$to" x
grep -qx -- '--nodes=3 --ntasks=3 --ntasks-per-node=1' copies || fail "copied by $(cat copies)"
touch -d '1 hour ago' "$to/config.json"
stamp=$(stat -c %z "$to/model.safetensors")
echo cut >"$to/model.safetensors.part" # of a job that was killed
local_job score "$work/the model/" in out
[ "$(copied)" = "$to" ] && cmp -s "the model/config.json" "$to/config.json" &&
    [ "$(stat -c %Y "$to/config.json")" = "$(stat -c %Y "the model/config.json")" ] || fail "a copy is not made anew"
[ "$(stat -c %z "$to/model.safetensors")" = "$stamp" ] || fail "copied again, though nothing changed"
local_job run two-00001-of-00002.gguf x
to=$(copied)
for i in 1 2; do cmp -s "two-0000$i-of-00002.gguf" "${to%/*}/two-0000$i-of-00002.gguf" || fail "part $i: not at $to"; done
[ -e "${to%/*}/one.gguf" ] && fail "another file was copied, too"
rm -f copies
SLURM_HET_SIZE=2 SLURM_JOB_NUM_NODES_HET_GROUP_0=2 SLURM_JOB_NUM_NODES_HET_GROUP_1=1 SLURM_NTASKS_PER_NODE_HET_GROUP_0=1 \
    SLURM_NTASKS_PER_NODE_HET_GROUP_1=1 local_job run one.gguf x
printf -- '--het-group=%d --nodes=%d --ntasks=%d --ntasks-per-node=1\n' 0 2 2 1 1 1 | cmp - copies ||
    fail "parts of a job: copied by $(cat copies)"
to=$(copied)
cmp -s one.gguf "$to" && [ "$(ls "${to%/*}")" = one.gguf ] || fail "one.gguf: not alone at $to"
local_job run hub/name "a prompt"
ran run hub/name "a prompt"
SPILLWAY_LOCAL=/proc/nowhere job 0 5 run one.gguf x
grep -q 'could not be copied' err || fail "no room for a copy: no message"

# Queued again when the same command would go on, but not for ever.
queued() { grep -qx 'requeue 7' scontrol 2>/dev/null; }
forget() { rm -rf .spillway-7.tries; }
job 0 75 batch m in out
queued || fail "exit code 75: not queued again"
for code in 134 137 139; do # what srun gives when a task ended by a signal, however the others end
    job 0 $code batch m in out
    queued || fail "a rank that ended with code $code: not queued again"
done
for code in 0 2 3 4 5; do
    job 0 $code batch m in out
    queued && fail "exit code $code: queued again"
done

# fruitless TIMES WHAT ARGUMENT…: queued so many times in a row, then not
fruitless() {
    local times=$1 what=$2 i
    shift 2
    for i in $(seq "$times"); do
        job $((100 + i)) 75 "$@"
        queued || fail "$what: not queued again after $i times"
    done
    job $((101 + times)) 75 "$@"
    queued && fail "$what: queued again after $times times"
    grep -q "after $times restarts in a row without a new result" err || fail "$what: no message about it"
    [ -e .spillway-7.tries ] && fail "$what: the count is left"
}
forget
fruitless 10 "a rank lost" batch m in answers
SPILLWAY_RETRIES=2 fruitless 2 "SPILLWAY_RETRIES" batch m in answers
# The time limit of what keeps no results is no progress either: each time it begins anew.
FAKE_SIGNAL=USR1 fruitless 10 "time limits of a run" run m hello
: >answers.job # results that were there before are none of this turn's
echo result >answers
FAKE_SIGNAL=USR1 fruitless 10 "time limits without a result" batch m in answers -n 5
# With a new result it is another matter, whatever ended the turn.
for signal in USR1 ""; do
    for i in $(seq 13); do
        FAKE_RESULT=answers FAKE_SIGNAL=$signal job "$i" 75 batch m in answers -n 5
        queued || fail "a new result each time${signal:+, then $signal}: not queued again after $i times"
    done
done
FAKE_RESULT='' job 14 75 batch m in answers
[ "$(cat .spillway-7.tries)" = 1 ] || fail "a turn without a result is not counted"
FAKE_RESULT=answers job 15 75 batch m in answers
[ -e .spillway-7.tries ] && fail "a new result does not end the count"
# --fresh throws away more than the turn writes
printf '%s\n' {1..9} >answers
FAKE_FRESH=1 FAKE_RESULT=answers job 0 75 batch m in answers --fresh
[ -e .spillway-7.tries ] && fail "a new result after --fresh is not seen"
FAKE_SIGNAL=TERM job 0 75 batch m in answers
queued && fail "TERM: queued again"
# A start that crashes before the ranks have met is tried again at once; not one whose ranks had met,
# nor one that tells what is wrong, nor for ever.
for crashes in 1 3; do
    FAKE_FACTS=started FAKE_CRASHES=$crashes job 0 0 batch m in answers
    [ "$(wc -l <starts)" = $((crashes + 1)) ] || fail "$crashes crashed starts: $(wc -l <starts) in all"
    [ "$(grep -c 'before the ranks had met: trying again' err)" = "$crashes" ] || fail "no word of the crashed starts"
done
once() { [ "$(wc -l <starts)" = 1 ] || fail "$1: $(wc -l <starts) starts"; }
FAKE_FACTS=started FAKE_CRASHES=9 job 0 139 batch m in answers
[ "$(wc -l <starts)" = 4 ] && queued || fail "a start that always crashes: $(wc -l <starts) starts"
FAKE_FACTS="started met" FAKE_CRASHES=9 job 0 139 batch m in answers
once "ranks that had met"
FAKE_CRASHES=9 job 0 139 batch m in answers
once "ranks of which nothing is known"
for code in 2 3 4 5; do
    FAKE_FACTS=started job 0 $code batch m in answers
    once "exit code $code"
done
[ -z "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'spillway-start.*' -newer bin/srun)" ] || fail "a folder is left"

# All forms in which Slurm states tasks, GPUs and cores.
export SLURM_NTASKS
shape() { # WANTED VARIABLE=VALUE…: what srun is given of these
    local wanted=$1
    shift
    env -u SLURM_NTASKS "$@" NOTES="$NOTES" bash "$script" run m x >out 2>err </dev/null ||
        fail "$*: $(tail -n 1 err)"
    [[ " $(cat srun)" == *" --wait=60 $wanted$spillway run m x" ]] || fail "$*: not '$wanted' but $(cat srun)"
}
for none in 0 "" "(null)" 00; do
    shape "--ntasks-per-node=1 --cpus-per-task=8 " SLURM_GPUS_ON_NODE="$none" SLURM_CPUS_ON_NODE=8
    shape "--ntasks-per-node=2 " SLURM_GPUS_ON_NODE=2 SLURM_CPUS_ON_NODE="$none"
    shape "--ntasks-per-node=1 --cpus-per-task=3 " SLURM_NTASKS="$none" SLURM_NTASKS_PER_NODE="$none" \
        SLURM_CPUS_PER_TASK="$none" SLURM_CPUS_ON_NODE=3 SLURM_RESTART_COUNT="$none" SLURM_HET_SIZE="$none"
done
shape "--ntasks-per-node=1 "
for two in 2 02 "2(IDX:0-1)" "gpu:2" "gpu:a100:2(IDX:0,1)" "2(x3)"; do
    shape "--ntasks-per-node=2 --cpus-per-task=8 " SLURM_GPUS_ON_NODE="$two" SLURM_CPUS_ON_NODE="16(x2)"
done
shape "--cpus-per-task=4 " SLURM_NTASKS=3 SLURM_CPUS_PER_TASK=4
env -u SLURM_NTASKS SLURM_GPUS_ON_NODE=4 SLURM_CPUS_ON_NODE=2 bash "$script" run m x >out 2>err </dev/null
code=$?
expect 2 "fewer cores than tasks"
grep -q '4 tasks on a node need as many cores' err || fail "fewer cores than tasks: no message"
for cores in "16(x2)" 0 ""; do
    SLURM_HET_SIZE=2 SLURM_NTASKS_PER_NODE_HET_GROUP_0=0 SLURM_JOB_CPUS_PER_NODE_HET_GROUP_0=$cores \
        bash "$script" run m x >out 2>err </dev/null || fail "a job of parts with '$cores' cores: $(tail -n 1 err)"
    grep -q -- '--cpus-per-task=0' srun && fail "a job of parts with '$cores' cores: $(cat srun)"
done

# Where the count cannot be kept, all restarts count.
mkdir .spillway-7.tries
job 9 75 batch m in answers
queued || fail "a count that cannot be kept, restart 9: not queued again"
job 10 75 batch m in answers
queued && fail "a count that cannot be kept, restart 10: queued again"
grep -q 'spillway-7.tries' err && fail "a count that cannot be kept: a message of the shell"
forget
finish
