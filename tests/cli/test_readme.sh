#!/bin/bash
# The commands of the README's quick start, each as it is written there: for one PC, for two servers (pretend
# hosts; root) and for Slurm (if it is installed). What one prints is looked at, too. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
root=$(cd "$here/../.." && pwd)
build=$(dirname "$spillway")
not_with_asan "builds are not installed"
if [ "$(id -u)" != 0 ] || ! unshare -n -u -i -m true 2>/dev/null; then
    echo "skipped: pretend hosts need root and namespaces"
    exit 77
fi
command -v curl >/dev/null || { echo "skipped: there is no curl"; exit 77; }
# What is said about other launchers is not for these; mpirun's way to the hosts is.
unset "${!SLURM_@}" "${!OMPI_MCA_btl@}" "${!OMPI_MCA_pml@}" OMPI_MCA_orte_execute_quiet SPILLWAY
export SW_HOSTS=$work/hosts HOME=$work/home
export OMPI_MCA_plm=rsh OMPI_MCA_plm_rsh_agent="$here/../hosts.sh agent" OMPI_MCA_plm_rsh_no_tree_spawn=1
export OMPI_MCA_btl_tcp_if_include=10.98.0.0/24 OMPI_MCA_oob_tcp_if_include=10.98.0.0/24
slurm=yes
for program in slurmctld slurmd munged; do [ -x "/usr/sbin/$program" ] || slurm=; done
cleanups+=("bash '$here/../$([ -n "$slurm" ] && echo slurm || echo hosts).sh' down")
if [ -n "$slurm" ]; then bash "$here/../slurm.sh" up 2 2 || exit 1; else bash "$here/../hosts.sh" up 2 || exit 1; fi
[ -n "$slurm" ] && export SLURM_CONF=$SW_HOSTS/slurm/slurm.conf

# The clone that they are typed in.
mkdir home clone
for one in "$root"/*; do [ "${one##*/}" = build ] || ln -s "$one" clone/; done
ln -s "$build" clone/build

# typed TITLE: the commands of this part, one after the other, in one shell on the first host; each must succeed
typed() {
    sed -n "/^## Quick start/,/^## /p" "$root/README.md" | sed -n "/^### $1\$/,/^##/s/^    //p" >commands
    [ "$(wc -l <commands)" -ge 6 ] || fail "$1: the README has no commands for it"
    {
        echo 'failed() { echo "FAILED: $1"; exit 1; }'
        while IFS= read -r line; do
            printf 'echo "$ "%q\n%s\n' "$line" "$line"
            [[ $line == *'&' ]] || printf '[ $? = 0 ] || failed %q\n' "$line"
        done <commands
    } >script
    timeout -k 5 400 bash "$here/../hosts.sh" exec h1 bash -c "cd '$work/clone' && exec bash '$work/script'" >out 2>err </dev/null
    code=$?
    expect 0 "$1"
    grep -q FAILED out && fail "$1: $(grep FAILED out)"
}
says() { grep -qE -- "$2" out err || fail "$1: nothing says \"$2\""; }

sw run "$models/shakespeare" "ROMEO:" -n 60
head -n 2 out | tail -n 1 >line
text=$(cat line)
typed "One PC"
says "One PC" 'predicted .* tokens/s'
says "One PC" "^$text"
says "One PC" '"object": ?"text_completion"'
typed "Two servers"
says "Two servers" '^h1: '
says "Two servers" '^h2: '
says "Two servers" 'rank 1 on h2: layers 3-5'
says "Two servers" "^$text"
says "Two servers" '"id": ?"shakespeare"'
[ -s clone/answers.jsonl ] || fail "Two servers: batch has left no answers"
if [ -n "$slurm" ]; then
    typed "Slurm"
    says "Slurm" "^$text"
    says "Slurm" '^tunnel: ssh -L 8080:localhost:8080 '
    within 200 bash -c '! bash "$0" exec h1 squeue -h | grep -q .' "$here/../hosts.sh" || fail "Slurm: the server does not stop"
else
    echo "there is no Slurm: its commands were not run"
fi
finish
