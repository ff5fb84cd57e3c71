#!/bin/bash
# The job scripts of an installed prefix, submitted to a real Slurm of two pretend hosts from an empty folder, with
# no spillway in PATH: they find the program that they lie beside. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/../cli/common.sh"
not_with_asan "builds are not installed"
if [ "$(id -u)" != 0 ] || ! unshare -n -u -i -m true 2>/dev/null; then
    echo "skipped: pretend hosts need root and namespaces"
    exit 77
fi
for program in slurmctld slurmd munged curl; do
    [ -x "/usr/sbin/$program" ] || [ -x "/usr/bin/$program" ] && continue
    echo "skipped: there is no $program (Debian: slurmctld slurmd slurm-client munge curl)"
    exit 77
done
unset "${!SLURM_@}" "${!SPILLWAY@}" "${!OMPI_MCA_btl@}" "${!OMPI_MCA_pml@}"
unset OMPI_MCA_rmaps_base_oversubscribe OMPI_MCA_hwloc_base_binding_policy
export SW_HOSTS=$work/hosts
slurm() { bash "$here/../slurm.sh" "$@"; }
cleanups+=("bash '$here/../slurm.sh' down")
slurm up 2 2 || exit 1
: >out
: >err
launch cmake --install "$(dirname "$spillway")" --prefix "$work/prefix"
expect 0 "cmake --install"
scripts=$work/prefix/share/spillway/launch
model=$work/prefix/share/spillway/models/shakespeare
sw run "$model" "ROMEO:" -n 24
expect 0 "one rank"
cp out one.txt
mkdir empty

# submit OPTION… SCRIPT…: a job from the empty folder; sets $job and $log (all that it prints)
submit() {
    job=$(cd empty && slurm exec sbatch --parsable "$@" 2>"$work/err") || fail "sbatch $*"
    log=$(echo empty/*-"$job".log)
}
# ended STATE CODE WHAT
ended() {
    local state
    state=$(slurm wait "$job" 60) || fail "$3: still $state"
    log=$(echo empty/*-"$job".log)
    cp "$log" out
    [[ $state =~ JobState=$1\ .*ExitCode=$2: ]] || fail "$3: $state, not $1 with exit code $2"
}
says() { grep -Eq -- "$1" "$log" || fail "the job does not say \"$1\""; }

submit --nodes=2 --ntasks-per-node=2 "$scripts/slurm.sbatch" run "$model" "ROMEO:" -n 24
ended COMPLETED 0 "run on four ranks"
says "$work/prefix/bin/spillway run"
says 'rank 3 on h2: layer'
grep -Fxq "$(sed -n 2p one.txt)" "$log" || fail "run on four ranks: another text"

submit "$scripts/serve.sbatch"
ended FAILED 2 "serve.sbatch without a model"
says 'no model was given'

submit --nodes=2 --ntasks-per-node=2 --cpus-per-task=1 "$scripts/serve.sbatch" "$model" --port 8099
within 200 grep -sq 'is ready at' "empty/spillway-serve-$job.log" || fail "serve.sbatch does not serve"
key=$(cat "empty/.spillway-$job.keys")
slurm exec curl -s -m 20 localhost:8099/v1/completions -H "Authorization: Bearer $key" \
    -d '{"prompt": "ROMEO:", "max_tokens": 24}' >out 2>err
grep -q '"text_completion"' out || fail "serve.sbatch: no answer"
slurm exec scancel --signal=USR1 "$job"
ended COMPLETED 0 "serve.sbatch, stopped"
says '^tunnel: ssh -L 8099:localhost:8099 '
says "^key: cat $work/empty/.spillway-$job.keys"
[ -e "empty/.spillway-$job.keys" ] && fail "the key is still there"

# A copy of the script lies beside no program.
cp "$scripts"/*.sbatch empty
for script in slurm serve; do
    submit "./$script.sbatch" probe
    ended FAILED 2 "$script.sbatch without a program"
    says "program '' was not found: set SPILLWAY"
done
finish
