#!/bin/bash
# A user who may have one thread, and a few more each time (RLIMIT_NPROC; root is exempt, so a root
# becomes somebody else): each verb is refused with what is in the way and what helps, or works; none
# crashes or waits. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
not_with_asan "has threads of its own"
become=()
if [ "$(id -u)" = 0 ]; then
    # One whom nothing else here runs as: the limit counts all of a user's threads.
    uid=$((40000 + $$ % 20000))
    become=(setpriv "--reuid=$uid" "--regid=$uid" --clear-groups)
    "${become[@]}" true 2>/dev/null || { echo "skipped: root may not become somebody else"; exit 77; }
fi
cp -r "$models/shakespeare" model
cp "$spillway" program
chmod -R a+rX "$work" && chmod 777 "$work"
echo '{"id": 1, "prompt": [1, 2], "max_tokens": 2}' >prompts
echo '{"id": 1, "context": "To be", "continuation": ", or"}' >pairs
chmod a+r prompts pairs
verbs=("run model hello -n 2 --temperature 0 --threads 4" "batch model prompts answers --threads 4"
    "score model pairs answers --threads 4"
    "trace model --tokens 1,2 --dump acts.safetensors --threads 4"
    "bench model --prompt 4 -n 2 --repeat 1 --threads 4" "probe --threads 4")
# under N VERB…: a run of a user who may have N threads
under() {
    local n=$1
    shift
    rm -f answers answers.job acts.safetensors
    MALLOC_PERTURB_=165 timeout -k 1 200 "${become[@]}" bash -c "ulimit -u $n && exec \"\$@\"" sh \
        ./program "$@" >out 2>err </dev/null
    code=$?
}
for verb in "${verbs[@]}"; do
    refused=0
    for n in 1 2 3 4 5 6 8 12 48; do
        what="ulimit -u $n: $verb"
        # shellcheck disable=SC2086 # words
        under "$n" $verb
        case $code in
        0) [ "$n" != 1 ] || fail "$what: runs with one thread" ;;
        5)
            refused=$((refused + 1))
            one_message "$what" "thread.* cannot be started: Resource temporarily unavailable; "
            one_message "$what" "raise the limit of threads \(ulimit -u, .* is $n;"
            [ ! -s answers ] || fail "$what: has results" ;;
        *) fail "$what: exit code $code" ;;
        esac
    done
    [ "$code" = 0 ] || fail "$what: fails"
    echo "${verb%% *}: $refused refused"
done
finish
