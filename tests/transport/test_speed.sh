#!/bin/bash
# What ranks over MPI cost: latency beside plain MPI, and idle ranks that sleep. Measures, so nothing
# else should run beside it. $1: the program.
set -u
# shellcheck source=tests/transport/common.sh
. "$(dirname "$0")/common.sh"

# A loaded machine adds scheduling to both; what we add must stay small.
quick() {
    launch 2 latency 8192
    [ $code = 0 ] && below "$(value latency_us)" "$(value plain_mpi_us | awk '{ print $1 * 3 + 300 }')"
}
quick || quick || quick || fail "latency"

launch 3 idle 3
[ $code = 0 ] && below "$(value idle_percent)" 3 || fail "idle ranks use the processor"
finish
