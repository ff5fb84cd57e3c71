#!/usr/bin/env bash
# How much of its quiet speed decode keeps beside busy neighbours: rounds of quiet, three
# neighbours at nice 10, three at nice 19; the medians are compared.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

usage() {
    cat <<'TEXT'
usage: contention.sh [-r ROUNDS] [-w SECONDS] [-k NEIGHBOURS] [-l LEVELS] [-t THREADS] [-f FORMAT]
                     [-n TOKENS] [--own-sessions]

  -r, --rounds N      rounds; the medians are compared (5)
  -w, --wait S        before each run wait up to S seconds for a quiet machine (0)
  -k, --neighbours K  busy processes at a time (3)
  -l, --levels L      their nice levels, one variant each ("10 19")
  -t, --threads N     threads of the measured program (2)
  -f, --format F      weight format (bf16)
  -n N                new tokens (64)
  --own-sessions      each neighbour in a session of its own, as another user's job is

environment: SPILLWAY, MODEL_bf16, MODEL_f16, LLAMA_BENCH, GGUF_bf16, GGUF_f16 as in peers.sh.
The exit status is 1 when spillway keeps less than half, 2 when something could not be run.
TEXT
}

neighbours=3 levels="10 19" threads=2 format=bf16 new=64 own_session=0
options neighbours=-k,--neighbours levels=-l,--levels threads=-t,--threads format=-f,--format \
    new=-n -- "$@"
for argument in "${rest[@]}"; do
    [ "$argument" = --own-sessions ] || die "unknown argument '$argument'; see --help"
    own_session=1
done
common_needs
records=$work/records
model_for "$format"

measure_all() { # CELL
    keep_output "$work/out" "$SPILLWAY" bench "${model[@]}" --threads "$threads" --prompt 16 \
        -n "$new" --repeat 1 --json
    figures read spillway "$1" spillway "$work/out" >>"$records"
    [ -n "${LLAMA_BENCH:-}" ] || return 0
    local file=GGUF_$format
    [ -n "${!file:-}" ] || die "LLAMA_BENCH is set, but $file is not"
    keep_output "$work/out" "$LLAMA_BENCH" -m "${!file}" -t "$threads" -p 0 -n "$new" -r 1 -o json
    figures read llama-bench "$1" llama.cpp "$work/out" >>"$records"
}

say "contention: $rounds rounds, $threads threads, $neighbours neighbours at nice $levels"
for ((round = 1; round <= rounds; round++)); do
    say "  round $round of $rounds: quiet"
    quiet
    measure_all quiet
    for level in $levels; do
        say "  round $round of $rounds: nice $level"
        busy_start "$neighbours" "$level"
        measure_all "nice $level"
        busy_stop
    done
done
printf 'medians of %d rounds, %s, %d threads, %d neighbours%s\n\n' "$rounds" "$format" "$threads" \
    "$neighbours" "$([ "$own_session" = 0 ] || echo ' in sessions of their own')"
figures contention "$records"
