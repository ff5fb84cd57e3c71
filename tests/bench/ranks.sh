#!/usr/bin/env bash
# What a cut costs: one rank on one core against two ranks on one core each, the same model, one
# sequence. The ranks work one after the other, so the best possible ratio is 1.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

usage() {
    cat <<'TEXT'
usage: ranks.sh [-r ROUNDS] [-w SECONDS] [-f FORMATS] [-n TOKENS]

  -r, --rounds N     rounds; the medians are compared (5)
  -w, --wait S       before each run wait up to S seconds for a quiet machine (0)
  -f, --formats L    weight formats ("bf16")
  -n N               new tokens (64)

environment: SPILLWAY, MODEL_bf16, MODEL_f16 as in peers.sh. Needs Open MPI and two cores.
The exit status is 1 when two ranks are slower than 0.95 of one, 2 when something could not be run.
TEXT
}

formats="bf16" new=64
options_only formats=-f,--formats new=-n -- "$@"
common_needs
mpi_needs
[ "$(nproc)" -ge 2 ] || die "needs two cores, this process may use $(nproc)"
records=$work/records

measure() { # FORMAT RANKS NAME
    model_for "$1"
    quiet
    keep_output "$work/out" mpirun -np "$2" --map-by core --bind-to core \
        "$SPILLWAY" bench "${model[@]}" --threads 1 --prompt 16 -n "$new" --repeat 1 --json
    figures read spillway "$1" "$3" "$work/out" >>"$records"
}

say "ranks: $rounds rounds of $formats, one core a rank"
for ((round = 1; round <= rounds; round++)); do
    for format in $formats; do
        say "  round $round of $rounds: $format"
        measure "$format" 1 "1 rank"
        measure "$format" 2 "2 ranks"
    done
done
printf 'medians of %d rounds, %d new tokens, each rank bound to a core of its own\n\n' \
    "$rounds" "$new"
figures ranks "$records"
