#!/bin/bash
# Ranks over MPI: every size round a ring, and ranks that die, fail, are stopped, hang or are told to
# end: one message, in seconds, nobody left. $1: the program.
set -u
# shellcheck source=tests/transport/common.sh
. "$(dirname "$0")/common.sh"

one_line_with() {
    [ "$(grep -c '^spillway' "$work/err")" = 1 ] || fail "$1: not one message"
    grep -q "$2" "$work/err" || fail "$1: the message does not say \"$2\""
}
nobody_left() {
    within 60 none_left "^$echo_program $1" || fail "$1: ranks are left"
}

launch 3 ring
[ $code = 0 ] && [ "$(value ring)" = 3 ] || fail "ring"

for victim in 0 1 2; do
    launch 3 loss $victim
    [ $code != 0 ] || fail "rank $victim killed"
    one_line_with "rank $victim killed" "rank $victim on .* is gone"
    nobody_left loss
done

for rank in 0 2; do
    launch 3 loss $((100 + rank))
    [ $code = 3 ] || fail "rank $rank failed"
    one_line_with "rank $rank failed" "rank $rank on .*: the weights are missing"
done

# Timeouts of 10 s (stopped) and, for a main thread that gets nothing done, of 8 s (stuck); then
# mpirun has 10 s to notice, which it does not here. A rank that comes back later would end the job well.
launch 3 stopped 3
[ $code = 0 ] || fail "a rank stopped for a moment"
launch 3 stopped 100
[ $code = 75 ] || fail "a stopped rank"
one_line_with "a stopped rank" "rank 1 on .* gave no sign of life"
nobody_left stopped
launch 3 stuck 100
[ $code = 75 ] && below "$seconds" 100 || fail "a stuck rank"
one_line_with "a stuck rank" "rank 1 on .* made no progress"
nobody_left stuck

launch 3 late
[ $code = 5 ] || fail "a rank that does not join"
grep -q "ranks have not reached each other in 8 s" "$work/err" || fail "a rank that does not join"
nobody_left late

# Ranks of one host listen for each other's heartbeats on loopback: of four ranks 1 and 3 go on to,
# because they have no link to each other.
listening_on_loopback() {
    local pid inodes=
    for pid in $(pgrep -f "^$echo_program stop"); do
        inodes+=" $(find "/proc/$pid/fd" -lname 'socket:*' -printf '%l ' 2>/dev/null)"
    done
    awk -v own="$inodes" '$4 == "0A" && $2 ~ /^0100007F/ && index(own, "socket:[" $10 "]") { n++ }
                          END { print n + 0 }' /proc/net/tcp
}
two_listen_on_loopback() { [ "$(listening_on_loopback)" = 2 ]; }
timeout -k 5 300 mpirun -np 4 "$echo_program" stop >"$work/out" 2>"$work/err" &
launcher=$!
within 60 grep -q ready "$work/out"
within 60 two_listen_on_loopback || fail "$(listening_on_loopback) ranks listen on loopback, not two"
kill -USR1 "$(pgrep -P $launcher mpirun)"
wait $launcher
code=$?
[ $code = 75 ] || fail "stop: exit $code"
one_line_with "stop" "a stop was requested"
nobody_left stop

finish
