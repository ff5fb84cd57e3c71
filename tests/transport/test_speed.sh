#!/bin/bash
# What ranks over MPI cost: latency beside plain MPI, and idle ranks that sleep. Measures, so nothing
# else should run beside it. $1: the program.
set -u
# shellcheck source=tests/transport/common.sh
. "$(dirname "$0")/common.sh"

# A loaded machine adds scheduling to both; what we add must stay small.
try() {
    for _ in 1 2 3 4 5 6 7 8; do "$@" && return; done
    return 1
}
quick() {
    launch 2 latency 8192
    [ $code = 0 ] && below "$(value latency_us)" "$(value plain_mpi_us | awk '{ print $1 * 3 + 300 }')"
}
try quick || fail "latency"

asleep() {
    launch 3 idle 3
    [ $code = 0 ] && below "$(value idle_percent)" 3
}
try asleep || fail "idle ranks use the processor"
finish
