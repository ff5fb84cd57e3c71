#!/usr/bin/env bash
# Seconds until the first text of the shipped model on two ranks: from the call of mpirun, and from
# the moment mpirun has started the ranks.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

usage() {
    cat <<'TEXT'
usage: first_token.sh [-r ROUNDS] [-w SECONDS] [-k RANKS] [-m MODEL] [PROMPT]

  -r, --rounds N     rounds; the medians count (5)
  -w, --wait S       before each run wait up to S seconds for a quiet machine (0)
  -k, --ranks K      ranks (2)
  -m, --model DIR    the model (tests/models/shakespeare of this tree)

environment: SPILLWAY as in peers.sh. Needs Open MPI.
The exit status is 1 when it took more than a second from the start of the ranks.
TEXT
}

ranks=2 shipped=$repo/tests/models/shakespeare text="To be, or not to be"
options ranks=-k,--ranks shipped=-m,--model -- "$@"
for argument in "${rest[@]}"; do
    case $argument in -*) die "unknown argument '$argument'; see --help" ;; esac
    text=$argument
done
common_needs
mpi_needs
[ -f "$shipped/config.json" ] || die "no model at '$shipped': it needs a config.json"
records=$work/records

# Reads stdin, stamps the first byte into FILE, passes nothing on.
stamp_first_byte() { # FILE
    local byte
    if IFS= read -r -d '' -n 1 byte || [ -n "$byte" ]; then
        echo "$EPOCHREALTIME" >"$1"
    fi
    cat >/dev/null
}

seconds_between() { # FROM TO, files that hold a stamp
    python3 -c 'import sys; a, b = (float(open(f).read()) for f in sys.argv[1:]); print(b - a)' "$@"
}

measure() {
    rm -f "$work"/start "$work"/rank "$work"/first
    quiet
    echo "$EPOCHREALTIME" >"$work/start"
    # Each rank stamps its start and becomes the program; the earliest stamp stays (set -C).
    # shellcheck disable=SC2016 # expanded by the rank's own shell
    if ! mpirun -np "$ranks" --oversubscribe --bind-to none bash -c \
        '{ set -C; echo "$EPOCHREALTIME" >"$0"; set +C; } 2>/dev/null; exec "$@"' "$work/rank" \
        "$SPILLWAY" run "$shipped" "$text" -n 8 2>"$work/err" </dev/null | stamp_first_byte "$work/first"; then
        tail -n 5 "$work/err" >&2
        die "the run failed"
    fi
    [ -s "$work/first" ] || die "the run printed no text"
    printf '%d ranks\tspillway\tfrom_mpirun\t%s\n' "$ranks" \
        "$(seconds_between "$work/start" "$work/first")" >>"$records"
    printf '%d ranks\tspillway\tfrom_ranks\t%s\n' "$ranks" \
        "$(seconds_between "$work/rank" "$work/first")" >>"$records"
}

say "first token: $rounds rounds of $shipped on $ranks ranks"
for ((round = 1; round <= rounds; round++)); do measure; done
printf 'medians of %d rounds\n\n' "$rounds"
figures first_token "$records"
