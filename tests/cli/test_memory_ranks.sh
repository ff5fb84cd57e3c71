#!/bin/bash
# One allocation fails on one rank of two, the first, the second, the third …: the job ends in time,
# with a message and a code of the table, or with what it gives undisturbed; the same command then
# goes on. $1: the program; --all: every allocation (minutes), else a few of them.
set -u
spillway=$1
all=${2:-}
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
library=$(dirname "$spillway")/tests/libfail_memory.so
not_with_asan "has an allocator of its own"
small_job
export SPILLWAY_FAIL_NOTE=$work/note
# attempt VERB…: the run on two ranks; what it gives in `gives`
attempt() {
    rm -f note out err gives
    timeout -k 5 300 mpirun -np 2 "$spillway" "$@" --threads 1 --quiet >out 2>err </dev/null
    code=$?
    if [ -e answers ]; then sort answers; else cat out; fi >gives
}
for verb in "run model hello -n 3 --temperature 0" "batch model prompts answers" "score model pairs answers"; do
    name=${verb%% *}
    rm -f answers answers.job
    # shellcheck disable=SC2086 # words
    attempt $verb
    expect 0 "$verb"
    cp gives "usual-$name"
    failed=0 unseen=0
    export LD_PRELOAD=$library
    for SPILLWAY_FAIL_RANK in 0 1; do
        export SPILLWAY_FAIL_RANK SPILLWAY_FAIL_AT
        step=97
        [ "$all" = --all ] && step=1
        for ((SPILLWAY_FAIL_AT = 1 + 31 * SPILLWAY_FAIL_RANK; ; SPILLWAY_FAIL_AT += step)); do
            what="allocation $SPILLWAY_FAIL_AT of rank $SPILLWAY_FAIL_RANK: $name"
            rm -f answers answers.job
            # shellcheck disable=SC2086 # words
            attempt $verb
            [ -e note ] || break
            failed=$((failed + 1))
            case $code in
            0)
                unseen=$((unseen + 1))
                cmp -s gives "usual-$name" || fail "$what: another output" ;;
            3 | 4 | 5 | 75) grep -q '^spillway' err || fail "$what: exit code $code without a message" ;;
            *) fail "$what: exit code $code" ;;
            esac
            [ "$name" = run ] || [ "$code" = 0 ] || [ $((failed % 5)) != 0 ] || {
                # shellcheck disable=SC2086 # words
                LD_PRELOAD='' attempt $verb
                expect 0 "$what: once more"
                cmp -s gives "usual-$name" || fail "$what: once more gives another output"
            }
        done
    done
    unset LD_PRELOAD SPILLWAY_FAIL_RANK SPILLWAY_FAIL_AT
    echo "$name: $failed failures, $unseen of no consequence"
    [ $failed -ge 4 ] || fail "$name: hardly an allocation failed"
    [ $((unseen * 2)) -le "$failed" ] || fail "$name: too many of no consequence"
done
finish
