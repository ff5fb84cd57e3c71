#!/bin/bash
# OpenAI's Python client, unmodified, on `serve`, on one rank and on two: completions, chats, streams, answers of a
# form, errors, timeouts, cancelled requests. $1: the program.
# SW_PYTHON: a Python that has the package openai (default: python3).
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
python=${SW_PYTHON:-python3}
"$spillway" --version | grep -q 'http' || { echo "skipped: built without HTTP"; exit 77; }
"$python" -c 'import openai' 2>/dev/null || { echo "skipped: $python has no package openai"; exit 77; }
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
mkdir model && cp -r "$models/shakespeare/." model
echo '{%- for message in messages %}{{ message.content }}{% endfor %}' >model/chat_template.jinja
printf 'a-key-of-some-length\n' >keys
chmod 600 keys

# serving N ARGUMENT…: starts a server on N ranks; $port is its port.
serving() {
    local n=$1 launcher=()
    shift
    [ "$n" = 1 ] || launcher=("$here/../../launch/spillway-mpirun" -np "$n")
    : >server.out
    "${launcher[@]}" "$spillway" serve model --port 0 --json "$@" >server.out 2>server.err </dev/null &
    server=$!
    within 200 grep -q '"url"' server.out || { cp server.err err; fail "serve on $n: is not ready"; exit 1; }
    port=$(python3 -c 'import json; print(json.load(open("server.out"))["port"])')
}
stopped() {
    kill -USR1 "$server"
    within 120 gone "$server" || fail "the server does not end"
    wait "$server"
    code=$?
    server=
    cp server.err err
    expect 0 "the server's end"
}
cleanups+=('[ -z "${server:-}" ] || kill -KILL "$server" 2>/dev/null')
check() { timeout -k 5 240 "$python" "$here/openai_checks.py" "$port" "$@" >out 2>err && cat out || fail "$*"; }

prompt="To be, or"
greedy=$("$spillway" run model "$prompt" -n 12 --json 2>/dev/null |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["text"], end="|")')
echo '{"id": 1, "context": "First Citizen: Speak,", "continuation": " speak the the thus"}' >pairs
"$spillway" score model pairs scores >out 2>err || fail "score"
for n in 1 2; do
    serving $n
    check completions "$prompt" "${greedy%|}" scores
    check chats "${greedy%|}"
    check structured json_object
    check structured json_schema
    check parsed
    check errors
    stopped
done
serving 1 --api-key-file keys
check keys a-key-of-some-length
stopped
finish
