# shellcheck shell=bash
# shellcheck disable=SC2034 # names are for those who source this
# Sourced by the command-line tests, after they have set `spillway`: a work folder that is the
# current one and goes away, a run with its output and exit code kept, checks that count failures.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
spillway=$(readlink -f "$spillway")
make_checkpoint=$(dirname "$spillway")/tests/make_checkpoint
models=$here/../models
. "$here/../mpi_env.sh"
# shellcheck source=tests/within.sh
. "$here/../within.sh"
export LC_ALL=C.UTF-8 COLUMNS=100
work=$(mktemp -d)
cleanups=()
leave() {
    local c
    for c in "${cleanups[@]}"; do eval "$c"; done
    cd / && rm -rf "$work"
}
trap leave EXIT
cd "$work" || exit 1
failures=0

fail() {
    echo "FAILED: $*"
    head -c 2000 "$work/out" | sed 's/^/    out: /'
    head -c 4000 "$work/err" | sed 's/^/    err: /'
    failures=$((failures + 1))
}
# sw ARGUMENT…: runs the program; its output in out and err, its exit code in $code.
sw() { launch "$spillway" "$@"; }
# ranks N ARGUMENT…: the same on N ranks.
ranks() {
    local n=$1
    shift
    launch mpirun -np "$n" "$spillway" "$@"
}
launch() {
    timeout -k 5 300 "$@" >"$work/out" 2>"$work/err" </dev/null
    code=$?
}
# rank_field FIELD: of each rank of the last JSON, a Python expression of `r`; run_ids: its ids.
rank_field() { python3 -c 'import json, sys
d = json.load(open("out"))
print(*[eval(sys.argv[1], {"r": r}) for r in d["ranks"]])' "$1"; }
run_ids() { python3 -c 'import json; print(json.load(open("out"))["ids"])'; }
# expect CODE WHAT: how the last run must have ended.
expect() { [ "$code" = "$1" ] || fail "$2: exit code $code, not $1"; }
# one_message WHAT PATTERN: beside the placement and the loading, a single line of ours on stderr,
# which matches.
one_message() {
    local n
    n=$(grep '^spillway' "$work/err" | grep -cvE ': (layers? [0-9]|no layers|making up weights)')
    [ "$n" = 1 ] || fail "$1: $n messages"
    grep -Eq -- "$2" "$work/err" || fail "$1: the message does not say \"$2\""
}
# not_with_asan WHY: ends the test as skipped when the program has AddressSanitizer, which WHY.
not_with_asan() {
    ! ldd "$spillway" | grep -q libasan || { echo "skipped: AddressSanitizer $1"; exit 77; }
}
# small_job: the trained model in model, two lines for batch in prompts, one for score in pairs.
small_job() {
    cp -r "$models/shakespeare" model && chmod -R u+w model
    printf '{"id": "a", "prompt": %s, "max_tokens": 3, "temperature": 0}\n' '"To be, or"' >prompts
    printf '{"id": "b", "prompt": %s, "max_tokens": 3, "temperature": 0}\n' '[1, 2, 3]' >>prompts
    echo '{"id": "a", "context": "To be", "continuation": ", or not"}' >pairs
}
# golden NAME: the file `actual` must be as the golden says; SW_UPDATE_GOLDENS=1 writes it anew.
golden() {
    if [ "${SW_UPDATE_GOLDENS:-}" = 1 ]; then
        cp actual "$here/golden/$1"
    elif ! diff -u "$here/golden/$1" actual; then
        echo "$1: not as the golden says; SW_UPDATE_GOLDENS=1 accepts it"
        failures=$((failures + 1))
    fi
}
finish() {
    [ $failures = 0 ] && echo "all passed"
    exit $((failures > 0))
}
