#!/bin/bash
# Ranks on three pretend hosts: every size over TCP, ranks that are
# killed or fail, several networks. Needs root. What happens to hosts: tests/cli/test_hosts.sh.
# $1: the program.
set -u
if [ "$(id -u)" != 0 ] || ! unshare -n -m true 2>/dev/null; then
    echo "skipped: pretend hosts need root"
    exit 77
fi
# shellcheck source=tests/transport/common.sh
. "$(dirname "$0")/common.sh"
hosts="$here/../hosts.sh"
export SW_HOSTS=$work/hosts
cleanup='bash "$hosts" down'
starter=(bash "$hosts" mpirun)

bash "$hosts" up 3 || exit 1
launch 3 ring
[ $code = 0 ] && grep -q '^ring 3' "$work/out" || fail "ring"
launch 3 latency 8192
[ $code = 0 ] || fail "latency"
launch 3 loss 1
[ $code != 0 ] && [ "$(grep -c '^spillway' "$work/err")" = 1 ] || fail "a killed rank: not one message"
grep -q 'rank 1 on h2' "$work/err" || fail "a killed rank: not named"
launch 3 loss 102
[ $code = 3 ] && grep -q 'rank 2 on h3: the weights are missing' "$work/err" || fail "a failing rank"

# Several networks on a host: one that all have alike, and one the ranks are told to keep to.
for h in h1 h2 h3; do
    bash "$hosts" exec $h ip link add docker0 type dummy 2>/dev/null &&
        bash "$hosts" exec $h ip addr add 172.17.0.1/16 dev docker0 &&
        bash "$hosts" exec $h ip link set docker0 up
done
launch 3 ring
[ $code = 0 ] && grep -q '^ring 3' "$work/out" || fail "ring with a bridge alike on all hosts"

finish
