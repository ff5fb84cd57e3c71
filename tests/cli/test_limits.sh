#!/bin/bash
# Too few threads, files, stack and address space: from the least on, one step after the other, each
# run works or ends with a code of the table and a message, in time; none crashes. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
tools=$(dirname "$spillway")/tests
not_with_asan "wants address space, and to be first"
cp -r "$models/shakespeare" model
chmod -R a+rX "$work" model
echo '{"id": 1, "prompt": [1, 2], "max_tokens": 2}' >prompts
echo '{"id": 1, "context": "To be", "continuation": ", or"}' >pairs

run="run model hello -n 2 --temperature 0 --threads 4"
batch="batch model prompts answers --threads 4"
score="score model pairs answers --threads 4"
bench="bench model --prompt 4 -n 2 --repeat 1 --threads 4"
probe="probe"

# under LIMIT VERB…: a run in a shell with `ulimit LIMIT`; its exit code in $code. MALLOC_PERTURB_
# fills what is freed, so that nobody gets away with using it.
under() {
    local limit=$1
    shift
    rm -f answers answers.job
    # shellcheck disable=SC2086 # words
    MALLOC_PERTURB_=165 timeout -k 1 200 bash -c "ulimit $limit && exec \"\$@\"" sh ${wrap:-} \
        "$spillway" "$@" >"$work/out" 2>"$work/err" </dev/null
    code=$?
}
# settled WHAT LAST: the last run has worked (then $worked) or failed cleanly
settled() {
    worked=
    case $code in
    0) worked=1 ;;
    3 | 4 | 5) [ -s err ] || fail "$1: exit code $code without a message" ;;
    127) grep -q 'loading shared libraries' err || fail "$1: exit code 127" ;;
    *) fail "$1: exit code $code" ;;
    esac
}
# Steps of one limit; the last one must work.
steps() {
    local letter=$1 verb value
    shift
    for verb in "$run" "$batch" "$score" "$bench" "$probe"; do
        for value in "$@"; do
            # shellcheck disable=SC2086 # words
            under "$letter $value" $verb
            settled "ulimit $letter $value: $verb"
        done
        [ "$worked" ] || fail "ulimit $letter $value: $verb fails"
    done
}
steps -n 3 4 5 6 7 8 10 12 16 24 32
steps -v 9000 10000 12000 14000 16000 18000 20000 22000 26000 32000 48000 64000 100000 200000 \
    400000 800000 4000000
steps -s 64 96 128 256 512 1024
# A limit that cannot be raised gives a message.
if [ "$(id -u)" != 0 ] || setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null; then
    [ "$(id -u)" = 0 ] && wrap="setpriv --reuid=65534 --regid=65534 --clear-groups"
    own=$spillway
    cp "$own" program && chmod 755 program
    spillway=$work/program
    # shellcheck disable=SC2086 # words
    under "-s 64" $run
    expect 5 "a stack of 64 KiB that cannot be raised"
    one_message "a stack of 64 KiB that cannot be raised" "ulimit -s"
    wrap=
    spillway=$own
fi

# From each thread on none can be started, or that one alone cannot.
for verb in "$run" "$batch" "$score" "$bench" "$probe --threads 4"; do
    for one in '' 1; do
        for ((k = 1; k <= 40; k++)); do
            export SPILLWAY_FAIL_THREAD=$k SPILLWAY_FAIL_ONE=$one
            wrap="env LD_PRELOAD=$tools/libfail_threads.so"
            # shellcheck disable=SC2086 # words
            under "-c 0" $verb
            settled "thread $k${one:+ alone} cannot be started: $verb"
            [ "$worked" ] && break
        done
        [ "$worked" ] || fail "40 threads: $verb fails"
    done
done
finish
