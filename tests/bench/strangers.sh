#!/usr/bin/env bash
# What strangers cost: a batch on several ranks alone, and while connections that say nothing are
# held to every port of every rank, in turns; the medians are compared.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

usage() {
    cat <<'TEXT'
usage: strangers.sh [-r ROUNDS] [-w SECONDS] [-k STRANGERS] [-p RANKS] [-l LINES] [-n TOKENS]

  -r, --rounds N     rounds; the medians are compared (5)
  -w, --wait S       before each run wait up to S seconds for a quiet machine (0)
  -k, --strangers K  connections to each port (200)
  -p, --ranks L      how many ranks ("2 4"; with four, ranks 1 and 3 go on to listen)
  -l, --lines N      lines of the batch (1500)
  -n N               new tokens of each (24)

environment: SPILLWAY. Needs Open MPI.
The exit status is 1 when less than 0.98 of the speed is kept, 2 when something could not be run.
TEXT
}

strangers=200 ranks="2 4" lines=1500 new=24
options_only strangers=-k,--strangers ranks=-p,--ranks lines=-l,--lines new=-n -- "$@"
common_needs
mpi_needs
records=$work/records
for ((i = 0; i < lines; i++)); do
    echo "{\"id\": $i, \"prompt\": \"To be or not to be, line $i\"}"
done >"$work/in.jsonl"

measure() { # RANKS PROGRAM STRANGERS
    local launcher crowd=
    quiet
    mpirun -np "$1" --oversubscribe --bind-to none "$SPILLWAY" batch "$repo/tests/models/shakespeare" \
        "$work/in.jsonl" "$work/out.jsonl" --fresh --threads 1 -n "$new" \
        >"$work/out" 2>&1 </dev/null &
    launcher=$!
    if [ "$3" -gt 0 ]; then
        nice -n 19 python3 "$bench_dir/strangers.py" "$3" "$launcher" >"$work/crowd" &
        crowd=$!
    fi
    wait "$launcher" || { cat "$work/out" >&2 && die "batch on $1 ranks failed"; }
    if [ -n "$crowd" ]; then
        wait "$crowd"
        say "    $(cat "$work/crowd")"
    fi
    sed -nE "s|.* ([0-9.]+) tokens/s\$|$1 ranks\t$2\tbatch\t\1|p" "$work/out" >>"$records"
}

say "strangers: $rounds rounds of $ranks ranks, $strangers strangers at each port"
for ((round = 1; round <= rounds; round++)); do
    for n in $ranks; do
        say "  round $round of $rounds: $n ranks"
        measure "$n" alone 0
        measure "$n" strangers "$strangers"
    done
done
printf 'medians of %d rounds, %d lines of %d new tokens, %d strangers at each port\n\n' \
    "$rounds" "$lines" "$new" "$strangers"
figures strangers "$records"
