# shellcheck shell=bash
# shellcheck disable=SC2034 # names are for those who source this
# Sourced by the transport tests with the program as $1: a work folder that goes away, ranks of
# tests/transport/mpi_echo.c with their output kept, checks that count failures.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/mpi_env.sh
. "$here/../mpi_env.sh"
# shellcheck source=tests/within.sh
. "$here/../within.sh"
work=$(mktemp -d)
# a name of our own, so that pgrep finds the ranks of this test and no others
echo_program=$work/mpi_echo
cp "${MPI_ECHO:-$(dirname "$1")/tests/mpi_echo}" "$echo_program"
cleanup=:
trap 'eval "$cleanup"; rm -rf "$work"' EXIT
starter=(mpirun)
failures=0

fail() {
    echo "FAILED: $*"
    sed 's/^/    /' "$work/out" "$work/err"
    failures=$((failures + 1))
}
# launch RANKS MODE [ARGUMENT]: fills $work/out, $work/err, $code and $seconds.
launch() {
    local ranks=$1 begin=$EPOCHREALTIME
    shift
    timeout -k 5 200 "${starter[@]}" -np "$ranks" "$echo_program" "$@" >"$work/out" 2>"$work/err"
    code=$?
    seconds=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    echo "$* on $ranks ranks: exit $code after $seconds s; $(tr '\n' ' ' <"$work/out")"
}
value() { awk -v name="$1" '$1 == name { print $2 }' "$work/out"; }
below() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a < b) }'; }
finish() {
    [ $failures = 0 ] && echo "all passed"
    exit $((failures > 0))
}
