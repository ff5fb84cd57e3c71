#!/bin/bash
# One call on a file of the model, of the input or of a limit fails, the first, the second, the
# third … until there are no more: the run ends with its usual output, or with 3 or 5 and a message
# that names the file; a call that a signal interrupts never does harm.
# $1: the program; --all: every call of every verb with every error (minutes), else a part of them.
set -u
spillway=$1
all=${2:-}
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
library=$(dirname "$spillway")/tests/libfail_files.so
not_with_asan "wants to be first"
small_job
cp -r "$models/tiny/llama" sharded && chmod -R u+w sharded
rm model/expected.safetensors sharded/expected.safetensors
limits=/proc/meminfo:/proc/self/cgroup:/sys/fs/cgroup

# What a verb has made, in $1: its output, and whose results a job's are.
made() {
    cat "$1/out"
    [ ! -e "$1/answers" ] || sort "$1/answers"
    [ ! -e "$1/answers.job" ] || grep -A4 '"model"' "$1/answers.job"
}
# attempt FOLDER VERB…: the run, with its files in FOLDER; its exit code in FOLDER/code
attempt() {
    local folder=$1
    shift
    rm -rf "$folder"
    mkdir -p "$folder"
    case $1 in
    run) set -- "$@" -n 3 --temperature 0 ;;
    *) set -- "$@" "$folder/answers" ;;
    esac
    SPILLWAY_FAIL_NOTE=$folder/note LD_PRELOAD=$library timeout 200 "$spillway" "$@" \
        >"$folder/out" 2>"$folder/err" </dev/null
    echo $? >"$folder/code"
}
# judge FOLDER ERROR K VERB…: what came of it
judge() {
    local folder=$1 error=$2 what="call $3 of ${*:4} fails with $2" code call path
    code=$(cat "$folder/code")
    read -r call path <"$folder/note"
    cp "$folder/out" "$folder/err" "$work"
    if [ "$code" = 0 ]; then
        made "$folder" | cmp -s - "usual-$4" || fail "$what ($call $path): another output"
        case $error:$path in
        4:*) ;;
        *:/proc/self/cgroup | *:*memory.max | *:*memory.high | *:*limit_in_bytes)
            # hwloc looks there with openat
            [ "$call" = openat ] || grep -qF "$path" "$folder/err" ||
                fail "$what ($call $path): no message for a limit that cannot be read" ;;
        esac
    elif [ "$error" = 4 ]; then
        fail "$what ($call $path): interrupted, exit code $code"
    elif [ "$code" != 3 ] && [ "$code" != 5 ]; then
        fail "$what ($call $path): exit code $code"
    else
        grep -qF "$path" "$folder/err" || fail "$what ($call $path): the file is not named"
    fi
}
# sweep ERROR STEP VERB…: every STEPth call fails, on two cores; begins where no other error does
declare -A calls
sweep() {
    local error=$1 step=$2 k=$((1 + ($1 % $2))) turn
    shift 2
    export SPILLWAY_FAIL_ERRNO=$error SPILLWAY_FAIL_BELOW=$2:prompts:pairs:$limits
    for (( ; ; k += 2 * step)); do
        for turn in 0 1; do
            SPILLWAY_FAIL_AT=$((k + turn * step)) attempt "try-$turn" "$@" &
        done
        wait
        for turn in 0 1; do
            [ -e "try-$turn/note" ] || break 2
            judge "try-$turn" "$error" $((k + turn * step)) "$@"
            calls[$1]=$((${calls[$1]:-0} + 1))
        done
    done
    unset SPILLWAY_FAIL_ERRNO SPILLWAY_FAIL_BELOW
}

verbs=("run sharded --tokens 1,2,3" "batch model prompts" "score model pairs")
for verb in "${verbs[@]}"; do
    # shellcheck disable=SC2086 # words
    attempt usual $verb
    [ "$(cat usual/code)" = 0 ] || { cp usual/out usual/err .; fail "$verb fails without any error"; }
    made usual >"usual-${verb%% *}"
    for error in 5 13 24 4; do # EIO, EACCES, EMFILE, EINTR
        step=13
        [ "${verb%% *}:$error" = batch:5 ] && step=4
        [ "$all" = --all ] && step=1
        # shellcheck disable=SC2086 # words
        sweep $error $step $verb
    done
    echo "$verb: ${calls[${verb%% *}]} failures"
    [ "${calls[${verb%% *}]}" -ge 20 ] || fail "$verb: hardly a call failed"
done
finish
