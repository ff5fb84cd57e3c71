#!/bin/bash
# Ranks on three pretend hosts: every size over TCP, a killed rank, a frozen host. Needs root.
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

# A frozen host keeps its connections: only silence tells.
timeout -k 5 60 bash "$hosts" mpirun -np 3 "$echo_program" frozen >"$work/out" 2>"$work/err" &
launcher=$!
for _ in $(seq 100); do
    grep -q ready "$work/out" 2>/dev/null && break
    sleep 0.1
done
bash "$hosts" freeze h3
for _ in $(seq 150); do
    grep -q 'rank 2 on h3 gave no sign of life' "$work/err" && break
    sleep 0.1
done
grep -q 'rank 2 on h3 gave no sign of life' "$work/err" || fail "a frozen host: not named"
bash "$hosts" thaw h3
wait $launcher

[ $failures = 0 ] && echo "all passed"
exit $failures
