#!/bin/bash
# Ranks on three pretend hosts: every size over TCP, ranks that are
# killed or fail, several networks. Needs root. What happens to hosts: tests/cli/test_hosts.sh.
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/mpi_env.sh
. "$here/../mpi_env.sh"
hosts="$here/../hosts.sh"
echo_program=${MPI_ECHO:-$(dirname "$1")/tests/mpi_echo}
if [ "$(id -u)" != 0 ] || ! unshare -n -m true 2>/dev/null; then
    echo "skipped: pretend hosts need root"
    exit 77
fi
work=$(mktemp -d)
export SW_HOSTS=$work/hosts
trap 'bash "$hosts" down; rm -rf "$work"' EXIT
failures=0
fail() {
    echo "FAILED: $*"
    sed 's/^/    /' "$work/out" "$work/err"
    failures=$((failures + 1))
}
launch() {
    timeout -k 5 60 bash "$hosts" mpirun -np 3 "$echo_program" "$@" >"$work/out" 2>"$work/err"
    code=$?
    echo "$* on three hosts: exit $code; $(tr '\n' ' ' <"$work/out")"
}

bash "$hosts" up 3 || exit 1
launch ring
[ $code = 0 ] && grep -q '^ring 3' "$work/out" || fail "ring"
launch latency 8192
[ $code = 0 ] || fail "latency"
launch loss 1
[ $code != 0 ] && [ "$(grep -c '^spillway' "$work/err")" = 1 ] || fail "a killed rank: not one message"
grep -q 'rank 1 on h2' "$work/err" || fail "a killed rank: not named"
launch loss 102
[ $code = 3 ] && grep -q 'rank 2 on h3: the weights are missing' "$work/err" || fail "a failing rank"

# Several networks on a host: one that all have alike, and one the ranks are told to keep to.
for h in h1 h2 h3; do
    bash "$hosts" exec $h ip link add docker0 type dummy 2>/dev/null &&
        bash "$hosts" exec $h ip addr add 172.17.0.1/16 dev docker0 &&
        bash "$hosts" exec $h ip link set docker0 up
done
launch ring
[ $code = 0 ] && grep -q '^ring 3' "$work/out" || fail "ring with a bridge alike on all hosts"

[ $failures = 0 ] && echo "all passed"
exit $failures
