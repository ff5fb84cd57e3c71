#!/bin/bash
# serve: what clients of the OpenAI API are answered, on one rank and on two. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
"$spillway" --version | grep -q 'http' || { echo "skipped: built without HTTP"; exit 77; }
ln -s "$models/shakespeare" model
mkdir talker && cp -r "$models/shakespeare/." talker
cat >talker/chat_template.jinja <<'TEMPLATE'
{%- for message in messages %}{{ message.content }}{% endfor %}
{%- if tools %} {{ tools | map(attribute='function') | map(attribute='name') | join(',') }}{% endif %}
{%- if mood %} {{ mood }}{% endif %}
{%- if add_generation_prompt and messages[-1].role == 'assistant' %} And{% endif %}
TEMPLATE

# serving N ARGUMENT…: starts a server of $model on N ranks; $port is its port, $server what to signal.
model=model
serving() {
    local n=$1 launcher=()
    shift
    [ "$n" = 1 ] || launcher=("$here/../../launch/spillway-mpirun" -np "$n")
    : >server.out
    "${launcher[@]}" "$spillway" serve "$model" --port 0 --json "$@" >server.out 2>server.err </dev/null &
    server=$!
    if ! within 200 grep -q '"url"' server.out; then
        cp server.err err && fail "serve $*: is not ready"
        exit 1
    fi
    port=$(python3 -c 'import json; print(json.load(open("server.out"))["port"])')
}
cleanups+=('kill -KILL $server 2>/dev/null')
check() {
    timeout -k 5 400 python3 "$here/serve_checks.py" "$port" "$@" >out 2>err || fail "$*"
}
# stopped CODE: the server has ended by itself with this exit code
stopped() {
    within 120 gone "$server" || { cp server.err err; fail "the server does not end"; kill -KILL "$server"; }
    wait "$server"
    code=$?
    cp server.err err
    expect "$1" "the server's end"
}

prompt="To be, or"
greedy=$("$spillway" run model "$prompt" -n 12 --json 2>/dev/null | python3 -c 'import json, sys; print(json.load(sys.stdin)["text"], end="|")')
drawn=$("$spillway" run model "$prompt" -n 12 --temperature 1 --seed 7 --json 2>/dev/null |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["text"], end="|")')
ids=$("$spillway" tokens model <<<"$prompt" | sed 's/ *[0-9]*$//') # without the newline's
context="First Citizen: Speak,"
echo '{"id": 1, "context": "First Citizen: Speak,", "continuation": " speak the the thus"}' >pairs
"$spillway" score model pairs scores >out 2>err || fail "score"
context_ids=$(printf %s "$context" | "$spillway" tokens model)
continuation_ids=$(python3 -c 'import json; print(*[t["id"] for t in json.load(open("scores"))["tokens"]])')

for n in 1 2; do
    serving $n
    check health 200
    check texts "$prompt" "${greedy%|}" "$ids"
    check seeds "$prompt" "${drawn%|}"
    check biases "$prompt" "${greedy%|}" "$ids"
    check structured "$prompt" "${greedy%|}"
    check scores "$context_ids" "$continuation_ids" scores
    check stream "$prompt" "${greedy%|}"
    check text "$prompt" "$ids"
    check no_chat
    check metrics $n
    check page model $n
    check leave
    check slow
    check errors
    check odd_requests
    kill -USR1 "$server"
    stopped 0
done

model=talker
export SPILLWAY_STOP_S=120
serving 2 --grace 100
check chat "${greedy%|}"
check stop "$server" whole
stopped 0
serving 1 --grace 0
check chat "${greedy%|}"
check stop "$server" "the server is stopping"
stopped 0
model=model
serving 1 --request-timeout 0.02
check deadline
kill -TERM "$server"
stopped 0

# A rank is lost: who waits is told, and so is whoever started the job.
serving 2
check lost "$(pgrep -f -- "$spillway serve model --port 0" | while read -r pid; do
    grep -qz '^OMPI_COMM_WORLD_RANK=1$' "/proc/$pid/environ" && grep -q . "/proc/$pid/maps" && echo "$pid"
done 2>/dev/null | tail -n 1)"
stopped 75
grep -q 'rank 1' server.err || fail "the message does not name the rank"

printf 'a-key-of-some-length\n# none\n\n  another-key  \n' >keys
chmod 600 keys
serving 1 --api-key-file keys --max-body 2KiB
check keys another-key
kill -TERM "$server"
stopped 0
serving 1 --slots 1 --queue 0 --max-body 2KiB
check too_large
check queue
kill -INT "$server"
stopped 0

# What is wrong is said before the model is loaded.
serving 1
sw serve model --port "$port"
expect 2 "a port that is taken"
one_message "a port that is taken" "port $port of 127.0.0.1 cannot be served: .*choose another --port"
kill -TERM "$server"
stopped 0
sw serve model --port 0 --listen 0.0.0.0
expect 2 "an address of others without keys"
one_message "an address of others without keys" "needs --api-key-file"
sw serve model --port 0 --listen nowhere.example
one_message "no address" "expected an address of this host"
: >none
sw serve model --port 0 --api-key-file none
expect 2 "a file without keys"
one_message "a file without keys" "has no key"
sw serve model --port 70000
expect 2 "no port"
finish
