#!/usr/bin/env bash
# How busy four stages stay on four pretend hosts whose links are slow: each host's cable has half
# the delay, so that a message takes all of it. Each has an equal share of this machine's cores to
# itself, and the stages are of equal work, so that what is lost is lost by the links. Needs root, and
# /dev/net/tun.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

usage() {
    cat <<'TEXT'
usage: links.sh [-r ROUNDS] [-w SECONDS] [-s SEQUENCES] [-d MS] [-b MBIT] [-p TOKENS] [-n TOKENS]

  -r, --rounds N     rounds; the medians are compared (5)
  -w, --wait S       before each run wait up to S seconds for a quiet machine (0)
  -s, --sequences N  how many at once (64)
  -d, --delay MS     of a link, one way (2)
  -b, --rate MBIT    of a link, million bits a second (1000)
  -p, --prompt N     prompt tokens of each (16)
  -n N               new tokens of each (160)

environment
  SPILLWAY               as in peers.sh
  SW_CABLE                the program of tests/tools/cable.c (build/tests/cable of this tree)

Each rank has one thread. The exit status is 1 when a stage computes less than 0.85 of its time; 2 when
something could not be run.
TEXT
}

sequences=64 delay=2 rate=1000 prompt=16 new=160
options_only sequences=-s,--sequences delay=-d,--delay rate=-b,--rate prompt=-p,--prompt \
    new=-n -- "$@"
common_needs
mpi_needs
records=$work/records
export SW_HOSTS=$work/hosts SW_CABLE=${SW_CABLE:-$repo/build/tests/cable}
hosts() { bash "$repo/tests/hosts.sh" "$@"; }
[ "$(id -u)" = 0 ] || die "needs root, for pretend hosts"
leave() {
    hosts down
    rm -rf "$work"
}

# The shape of all figures, but with a vocabulary whose head is the work of two layers.
equal_stages() {
    shape_directory "$work/equal"
    sed -i 's/"vocab_size": 32000/"vocab_size": 43008/' "$work/equal/config.json"
    model=("$work/equal" --weights-from random --weights bf16 --slices "6,6,6,4")
}

# With slow cables or without.
measure() { # NAME
    hosts up 4
    for host in h1 h2 h3 h4; do
        hosts cores $host "$(awk -v n="$(nproc)" 'BEGIN { print 0.96 * n / 4 }')"
    done
    if [ "$1" = slow ]; then
        for host in h1 h2 h3 h4; do
            hosts far $host "$(awk -v d="$delay" 'BEGIN { print d / 2 }')" "$rate"
        done
    fi
    equal_stages
    quiet
    keep_output "$work/out" bash "$repo/tests/hosts.sh" mpirun -np 4 --bind-to none "$SPILLWAY" bench \
        "${model[@]}" --threads 1 --objective throughput --slots "$sequences" \
        --context $((prompt + new + 1)) --prompt "$prompt" -n "$new" --repeat 1 --json
    figures read spillway "bf16 x$sequences" "$1" "$work/out" >>"$records"
    hosts down
}

say "links: $rounds rounds of $sequences sequences over links of $delay ms and $rate Mbit/s"
for ((round = 1; round <= rounds; round++)); do
    say "  round $round of $rounds"
    measure fast
    measure slow
done
printf 'medians of %d rounds, %d prompt tokens, %d new tokens a sequence, all sequences together\n\n' \
    "$rounds" "$prompt" "$new"
figures links "$records"
