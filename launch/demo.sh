#!/bin/bash
# Installs what is missing (Debian or Ubuntu), builds, and runs the small model of the repository
# on two ranks: what each rank has, the plan, the placement, and text.
#
#   launch/demo.sh [PROMPT]
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=launch/setup.sh
. "$root/launch/setup.sh"
build=$root/build
cd "$root" || exit
model=tests/models/shakespeare
prompt=${1:-KING HENRY:}

begin=$(microseconds)
install_missing "$build" "$needs_build"
build_into "$build" spillway
mpi_on_any_machine
[ -n "${LC_ALL:-}${LC_CTYPE:-}${LANG:-}" ] || export LC_ALL=C.UTF-8

say "What it is: spillway inspect"
"$build/spillway" inspect "$model" || exit

say "What two ranks on this machine have: mpirun -np 2 spillway probe --json"
mpirun -np 2 "$build/spillway" probe --json --quiet >"$build/demo-cluster.json" || exit
say "The plan for them: spillway plan"
"$build/spillway" plan "$model" --cluster "$build/demo-cluster.json" || exit

say "The run: mpirun -np 2 spillway run … \"$prompt\""
mpirun -np 2 "$build/spillway" run "$model" "$prompt" -n 160 --temperature 0.7 --top-p 0.9 \
    --seed 7 || exit
say "All of it took $(seconds_since "$begin")"
