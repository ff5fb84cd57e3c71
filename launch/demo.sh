#!/bin/bash
# Runs a small model on two ranks of this machine: what each rank has, the plan, the placement, text,
# and at last a page to chat on. In a clone it first installs what is missing (Debian or Ubuntu) and
# builds; in an installed prefix it takes the program of that.
#
#   launch/demo.sh [PROMPT]
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=launch/setup.sh
. "$root/launch/setup.sh"
prompt=${1:-KING HENRY:}

begin=$(microseconds)
if [ -x "$root/../../bin/spillway" ]; then
    bin=$(cd "$root/../../bin" && pwd)
    spillway=$bin/spillway watched=$bin/spillway-mpirun
    cd "$root" && model=models/shakespeare || exit
else
    spillway=$root/build/spillway watched=$root/launch/spillway-mpirun
    cd "$root" && model=tests/models/shakespeare || exit
    install_missing "$root/build" "$needs_build"
    build_into "$root/build" spillway
fi
mpi_on_any_machine
[ -n "${LC_ALL:-}${LC_CTYPE:-}${LANG:-}" ] || export LC_ALL=C.UTF-8
cluster=$(mktemp) || exit
trap 'rm -f "$cluster"' EXIT

say "What it is: spillway inspect"
"$spillway" inspect "$model" || exit

say "What two ranks on this machine have: mpirun -np 2 spillway probe --json"
mpirun -np 2 "$spillway" probe --json --quiet >"$cluster" || exit
say "The plan for them: spillway plan"
"$spillway" plan "$model" --cluster "$cluster" || exit

say "The run: mpirun -np 2 spillway run … \"$prompt\""
mpirun -np 2 "$spillway" run "$model" "$prompt" -n 160 --temperature 0.7 --top-p 0.9 \
    --seed 7 || exit
say "All of it took $(seconds_since "$begin")"

serve=(-np 2 "$spillway" serve "$model")
say "A page to chat on, and the API of OpenAI: spillway-mpirun -np 2 spillway serve $model"
if [ ! -t 0 ] || [ ! -t 1 ]; then
    say "(no terminal, so not now; then http://localhost:8080/)"
    exit
fi
say "The next line has its address; Ctrl-C ends it"
"$watched" "${serve[@]}" --port 0
