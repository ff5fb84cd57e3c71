#!/bin/bash
# batch: every line answered once, as `run` answers it, on 1, 2 and 3 ranks; killed at any moment
# and resumed on another number of ranks; bad lines; the forms of the OpenAI Batch API; a full
# disk; two writers; outputs of other jobs. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
# a name of our own, so that pgrep finds the ranks of this test and no others
cp "$spillway" "$work/spillway"
spillway=$work/spillway
ln -s "$models/shakespeare" model

cat >make.py <<'PY'
"""make.py N MAX_TOKENS: N prompts, some drawn, some with a common head."""
import json, sys

names = ["ROMEO:", "JULIET:", "KING HENRY:\nOnce more", "First Citizen:\nBefore we proceed any", ""]
for i in range(int(sys.argv[1])):
    line = {"id": i if i % 3 else f"line {i}", "prompt": f"{names[i % 5]} {i % 7}"}
    line["max_tokens"] = 1 + i * 13 % int(sys.argv[2])
    if i % 4 == 3:
        line |= {"temperature": 0.9, "top_p": 0.95}
    if i % 5 == 4:
        line["stop"] = ["\n\n", "the"]
    print(json.dumps(line))
PY
cat >check.py <<'PY'
"""check.py IN OUT: each id once; prints the results without what may differ, in order of ids."""
import json, sys

given = [json.loads(l)["id"] for l in open(sys.argv[1])]
lines = [json.loads(l) for l in open(sys.argv[2])]
assert sorted(map(str, given)) == sorted(str(l["id"]) for l in lines), "ids differ"
assert {type(i) for i in given} == {type(l["id"]) for l in lines}
for l in sorted(lines, key=lambda l: str(l["id"])):
    print(json.dumps(l, sort_keys=True))
PY
# whole WHAT OUT: OUT must answer in.jsonl as the first run did
whole() { { python3 check.py in.jsonl "$2" >seen && cmp -s seen one; } 2>"$work/err" || fail "$1"; }

python3 make.py 60 40 >in.jsonl
sw batch model in.jsonl out.jsonl -n 5
expect 0 "one rank"
python3 check.py in.jsonl out.jsonl >one || fail "one rank: ids"
for form in "2" "3 --slots 2" "2 --chunk 4 --slots 7" "1 --slots 1"; do
    read -r n options <<<"$form"
    # shellcheck disable=SC2086 # words
    ranks "$n" batch model in.jsonl "out.$n.jsonl" -n 5 --fresh $options
    expect 0 "batch on $form"
    whole "batch on $form: other answers" "out.$n.jsonl"
done

# Three of them as `run` has them.
for i in 1 5 8; do
    python3 -c "import json
l = json.loads(open('in.jsonl').readlines()[$i])
open('prompt', 'w').write(l['prompt'])
print(l['max_tokens'])" >n
    sw run model -f prompt -n "$(cat n)" --json
    python3 -c "import json; r = json.load(open('out'))
a = [l for l in map(json.loads, open('out.jsonl')) if str(l['id']) in ('$i', 'line $i')][0]
for k in ('text', 'ids', 'finish_reason', 'prompt_tokens'): assert a[k] == r[k], (k, a[k], r[k])" ||
        fail "line $i: not as run answers it"
done

# All is done: nothing is loaded, nothing written.
cp out.jsonl before
ranks 2 batch model in.jsonl out.jsonl -n 5
expect 0 "again"
grep -q 'nothing is left' err || fail "again: does not say so"
grep -q 'layers' err && fail "again: loads the model"
cmp -s out.jsonl before || fail "again: the output has changed"
# Results that are taken out are made anew; a file that has grown is gone on with.
sed -n '1,20p' before >out.jsonl
sw batch model in.jsonl out.jsonl -n 5
whole "40 results taken out" out.jsonl
python3 make.py 64 40 >more.jsonl
cmp -s -n "$(wc -c <in.jsonl)" in.jsonl more.jsonl || fail "more.jsonl begins otherwise"
sw batch model more.jsonl out.jsonl -n 5
expect 0 "an input that has grown"
[ "$(wc -l <out.jsonl)" = 64 ] || fail "an input that has grown"

# Killed at any moment, by SIGKILL of all or of one rank or by TERM, and resumed on other ranks.
python3 make.py 120 200 >in.jsonl
sw batch model in.jsonl out.jsonl --fresh
expect 0 "the long job"
python3 check.py in.jsonl out.jsonl >one || fail "the long job: ids"
rm -f killed.jsonl*
deaths=0
begun() { pgrep -f "^$spillway batch" >/dev/null && [ -e killed.jsonl ]; } # to write
for round in 1 2 3 4 5 6 7 8; do
    n=$((1 + RANDOM % 3))
    timeout 300 mpirun -np $n "$spillway" batch model in.jsonl killed.jsonl 2>err &
    job=$!
    within 60 begun
    sleep "0.$((RANDOM % 9 + 1))"
    mapfile -t pids < <(pgrep -f "^$spillway batch")
    if [ ${#pids[@]} -gt 0 ] && kill -0 $job 2>/dev/null; then
        deaths=$((deaths + 1))
        case $((RANDOM % 3)) in
        0) kill -KILL "${pids[RANDOM % ${#pids[@]}]}" ;;
        1) kill -KILL "${pids[@]}" ;;
        2) kill -TERM "${pids[0]}" ;;
        esac
    fi 2>/dev/null
    wait $job 2>/dev/null
    within 100 none_left "^$spillway batch"
    [ $((round % 3)) = 0 ] && truncate -s -3 killed.jsonl # as if the power had gone
    [ "$(wc -l <killed.jsonl)" -lt 120 ] || sed -i '30,$d' killed.jsonl
done
ranks 2 batch model in.jsonl killed.jsonl
expect 0 "resumed after $deaths deaths"
whole "resumed after $deaths deaths" killed.jsonl
echo "killed and resumed $deaths times"

# Asked to stop: exit code 75, and what is there is safe.
rm -f stopped.jsonl*
python3 make.py 2000 200 >long.jsonl
"$spillway" batch model long.jsonl stopped.jsonl 2>err &
job=$!
within 100 test -s stopped.jsonl || fail "no result in stopped.jsonl"
kill -USR1 $job
wait $job
code=$?
: >out
expect 75 "USR1"
grep -Eq '[1-9][0-9]* of 2000 results are safe in stopped.jsonl; the same command' err || fail "USR1"
grep -oE '[0-9]+ of 2000' err | { read -r n _; [ "$n" = "$(wc -l <stopped.jsonl)" ]; } || fail "USR1: count"

# The output goes away while the job runs: nothing is called safe.
for how in "rm lost.jsonl" "mv lost.jsonl moved.jsonl" "truncate -s 10 lost.jsonl" "mv lost.jsonl moved.jsonl; cp moved.jsonl lost.jsonl"; do
    rm -f lost.jsonl* moved.jsonl
    (within 60 test -s lost.jsonl && eval "$how") &
    sw batch model long.jsonl lost.jsonl
    wait $!
    expect 5 "$how"
    one_message "$how" 'lost.jsonl: was (removed|truncated|moved or replaced) while the job ran'
    grep -q 'safe' err && fail "$how: calls results safe"
done

# So is what comes after --fresh, when that is left out.
rm -f stopped.jsonl*
"$spillway" batch model long.jsonl stopped.jsonl --fresh 2>err &
job=$!
within 100 test -s stopped.jsonl || fail "no result in stopped.jsonl"
kill -TERM $job
wait $job
code=$?
expect 75 "TERM after --fresh"
grep -q 'the same command without --fresh continues' err || fail "TERM after --fresh: how to go on"

# Lines that cannot be answered.
cat >bad.jsonl <<'LINES'
{"id": "good", "prompt": "ROMEO:", "max_tokens": 2}
{"id": "good", "prompt": "ROMEO:", "max_tokens": 2}

not JSON
{"prompt": "ROMEO:", "max_tokens": 2}
{"id": ["list"], "prompt": "x"}
{"id": "line-16", "prompt": "ROMEO:", "max_tokens": 1}
{"id": "none"}
{"id": "type", "prompt": "x", "temperature": "hot"}
{"id": "hot", "prompt": "x", "temperature": 200}
{"id": "many", "prompt": "x", "max_tokens": 99999999999}
{"id": "ids", "prompt": [1, 2, 100000]}
{"id": "chat", "messages": [{"role": "user", "content": "hi"}]}
{"id": 18446744073709551616, "seed": 18446744073709551615, "prompt": [51, 38, 44], "max_tokens": 3, "logprobs": 2}
{"id": "twice", "prompt": "x", "prompt": "y"}
{"id": "cut
LINES
printf '{"id": "long", "prompt": "%s"}' "$(printf 'word %.0s' {1..400})" >>bad.jsonl
for n in 1 2; do
    ranks $n batch model bad.jsonl bad.out.jsonl --json
    expect 0 "bad lines"
    python3 - "$n" <<'PY' || fail "bad lines: not as expected"
import json, sys
lines = [json.loads(l) for l in open("bad.out.jsonl")]
by_id = {l["id"]: l for l in lines}
assert len(lines) == len(by_id) == 16, by_id.keys()
for name, n in (("good", 2), ("line-5", 2), ("line-16", 1), (18446744073709551616, 3)):
    assert by_id.pop(name)["generated_tokens"] == n
words = {"line-2": "earlier line", "line-4": "not a JSON", "line-6": "neither a text nor",
         "none": "neither", "type": "temperature", "hot": "is 200; it must be from 0 to 100",
         "many": "is 99999999999; it must be from 1 to 2147483647", "ids": "item 2", "chat": "chat template",
         "twice": "duplicate", "line-16+": "not a JSON", "long": "raise --context"}
assert by_id.keys() == words.keys(), by_id.keys() ^ words.keys()
for name, word in words.items():
    assert word in by_id[name]["error"], by_id[name]
r = json.load(open("out"))
assert r["lines"] == r["done"] == 16 and r["failed"] == 12 and r["resumed"] == (16 if sys.argv[1] == "2" else 0), r
PY
done

# The OpenAI Batch API.
cat >api.jsonl <<'LINES'
{"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"model": "m", "prompt": "ROMEO:", "max_tokens": 5, "logprobs": 2, "temperature": 0}}
{"custom_id": "b", "method": "POST", "url": "/v1/completions", "body": {"model": "m", "prompt": ["KING HENRY:"], "max_tokens": 40, "stop": "\n\n"}}
{"custom_id": "c", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "x"}}
{"custom_id": "d", "method": "POST", "url": "/v1/completions", "body": {"prompt": [51, 38, 44], "max_tokens": 2, "n": 2}}
LINES
sw batch model api.jsonl api.out.jsonl
expect 0 "the Batch API"
python3 - <<'PY' || fail "the Batch API: not as expected"
import json
r = {l["custom_id"]: l for l in map(json.loads, open("api.out.jsonl"))}
assert sorted(r) == list("abcd")
assert len({l["id"] for l in r.values()}) == 4 and all(l["error"] is None for l in r.values())
assert [r[k]["response"]["status_code"] for k in "abcd"] == [200, 200, 400, 400]
a = r["a"]["response"]["body"]
assert a["object"] == "text_completion" and a["model"] == "m" and a["created"] > 1e9
choice, usage = a["choices"][0], a["usage"]
assert choice["finish_reason"] == "length" and usage["completion_tokens"] == 5
assert usage["total_tokens"] == usage["prompt_tokens"] + 5
p = choice["logprobs"]
assert "".join(p["tokens"]) == choice["text"] and len(p["token_logprobs"]) == 5
assert all(len(t) == 2 and max(t.values()) == l for t, l in zip(p["top_logprobs"], p["token_logprobs"]))
assert p["text_offset"] == [len("".join(p["tokens"][:i])) for i in range(5)]
b = r["b"]["response"]["body"]["choices"][0]
assert b["finish_reason"] == "stop" and "\n\n" not in b["text"] and b["logprobs"] is None
assert "url" in r["c"]["response"]["body"]["error"]["message"]
PY
# Members that change the answer and are not there: refused by name in a body of the API, with the
# name as OpenAI has it; passed over in plain lines, and said once.
python3 - <<'PY'
import json
api = lambda i, b: {"custom_id": f"a{i}", "method": "POST", "url": "/v1/completions", "body": {"prompt": "ROMEO:", "max_tokens": 1} | b}
bad = [{"stop_token_ids": [3]}, {"min_tokens": 9}, {"bad_words": ["x"]}, {"guided_json": {}}, {"best_of": 3},
       {"prompt_logprobs": 1}, {"tool_choice": "required"}, {"reasoning_effort": "low"}, {"temprature": 1}]
fine = [{"n": 1, "user": "u", "metadata": {}, "store": False, "stream": False, "tool_choice": "none"}, {"min_tokens": 0}, {"bad_words": None}]
json.dump([list(b)[0] for b in bad], open("names.json", "w"))
with open("members.jsonl", "w") as f:
    for i, b in enumerate(bad + fine):
        f.write(json.dumps(api(i, b)) + "\n")
    for i in range(12):
        f.write(json.dumps({"id": i, "prompt": "ROMEO:", "max_tokens": 1, "min_tokens": 3} | ({"label": "x"} if i == 5 else {})) + "\n")
PY
sw batch model members.jsonl members.out.jsonl
expect 0 "members"
grep -qF 'spillway: 12 lines have "min_tokens", which batch does not know' err || fail "members: no warning"
grep -qF 'spillway: 1 line has "label", which batch does not know' err || fail "members: no warning of a column"
[ "$(grep -c 'does not know' err)" = 2 ] || fail "members: $(grep -c 'does not know' err) warnings"
python3 - <<'PY' || fail "members: not as expected"
import json
r = {l.get("custom_id", l["id"]): l for l in map(json.loads, open("members.out.jsonl"))}
names = json.load(open("names.json"))
for i, name in enumerate(names):
    response = r[f"a{i}"]["response"]
    error = response["body"]["error"]
    assert response["status_code"] == 400 and f'"{name}"' in error["message"] and error["param"] == name, response
    assert error["type"] == "invalid_request_error", error
assert all(r[f"a{i}"]["response"]["status_code"] == 200 for i in range(len(names), len(names) + 3))
assert all(r[i]["generated_tokens"] == 1 for i in range(12))
PY

# Chats, with a template of the model's own.
mkdir chat
ln -s "$models/shakespeare"/* chat
rm chat/tokenizer_config.json
python3 - <<PY
import json
c = json.load(open("$models/shakespeare/tokenizer_config.json"))
c["chat_template"] = ("{% for m in messages %}{{ m['role'] | upper }}:\n{{ m['content'] }}\n\n{% endfor %}"
                      "{% if add_generation_prompt %}ROMEO:\n{% endif %}")
json.dump(c, open("chat/tokenizer_config.json", "w"))
message = [{"role": "juliet", "content": "O Romeo!"}]
with open("chat.jsonl", "w") as f:
    body = {"model": "m", "messages": message, "max_tokens": 6, "logprobs": True, "top_logprobs": 2}
    for line in ({"custom_id": "c", "method": "POST", "url": "/v1/chat/completions", "body": body},
                 {"id": "m", "messages": message, "max_tokens": 6},
                 {"id": "p", "prompt": "JULIET:\nO Romeo!\n\nROMEO:\n", "max_tokens": 6}):
        f.write(json.dumps(line) + "\n")
PY
sw batch chat chat.jsonl chat.out.jsonl
expect 0 "chats"
python3 - <<'PY' || fail "chats: not as expected"
import json
r = {l.get("custom_id", l["id"]): l for l in map(json.loads, open("chat.out.jsonl"))}
body = r["c"]["response"]["body"]
choice = body["choices"][0]
assert body["object"] == "chat.completion" and choice["message"]["role"] == "assistant"
assert choice["message"]["content"] == r["m"]["text"] == r["p"]["text"], r
assert body["usage"]["prompt_tokens"] == r["p"]["prompt_tokens"]
content = choice["logprobs"]["content"]
assert len(content) == 6 and all(len(t["top_logprobs"]) == 2 for t in content)
assert "".join(bytes(t["bytes"]).decode() for t in content) == r["p"]["text"]
PY

# Outputs of other jobs, and what is no output.
python3 make.py 10 20 >in.jsonl
sw batch model in.jsonl mine.jsonl
refused() { # CODE PATTERN ARGUMENT…
    local expected=$1 pattern=$2
    shift 2
    cp mine.jsonl kept
    sw batch "$@"
    expect "$expected" "$*"
    one_message "$*" "$pattern"
    cmp -s mine.jsonl kept || fail "$*: the output has changed"
}
refused 3 '--temperature is 0.5, was 0.0' model in.jsonl mine.jsonl --temperature 0.5
refused 3 'n is 9, was 128.*--fresh.*--force' model in.jsonl mine.jsonl -n 9
refused 3 'another input' model more.jsonl mine.jsonl
refused 3 'another model' chat in.jsonl mine.jsonl
refused 2 'IN and OUT.*the same file' model mine.jsonl mine.jsonl
refused 2 'mine.jsonl and mine.jsonl: OUT and --metrics.*same file' model in.jsonl mine.jsonl --metrics mine.jsonl
refused 2 'OUT and --timeline' model in.jsonl mine.jsonl --timeline ./mine.jsonl
refused 2 'OUT.job and --metrics' model in.jsonl mine.jsonl --metrics mine.jsonl.job
refused 2 'IN and --timeline' model in.jsonl mine.jsonl --timeline "$work/in.jsonl"
refused 2 '--metrics and --timeline' model in.jsonl mine.jsonl --metrics new --timeline ./new
refused 2 'IN and OUT.job' model mine.jsonl.job mine.jsonl
# nor the model, under any of its names
cp -rL "$models/shakespeare" own
ln own/config.json hard.json
ln -s own/tokenizer.json soft.json
mkfifo pipe
sum=$(cat own/* | cksum)
refused 2 "MODEL's files and OUT are the same" own in.jsonl own/config.json
refused 2 "MODEL's files and OUT are the same" own in.jsonl hard.json --fresh
refused 2 "MODEL's files and --metrics" own in.jsonl mine.jsonl --metrics soft.json
refused 2 "MODEL's files and --timeline" own in.jsonl mine.jsonl --timeline own/model.safetensors
refused 2 '--metrics is a pipe, not a regular file' model in.jsonl mine.jsonl --metrics pipe
refused 2 'OUT is a pipe, not a regular file' model in.jsonl pipe
[ "$(cat own/* | cksum)" = "$sum" ] || fail "the model has been written to"
# Another model that differs in the middle of its weights only; the same one elsewhere, touched.
cp -r own touched
touch -d 2001-01-01 touched/*
sw batch touched in.jsonl mine.jsonl
expect 0 "the same model elsewhere"
python3 - <<'PY'
with open("own/model.safetensors", "r+b") as f:
    size = f.seek(0, 2)
    f.seek(size // 2)
    f.write(bytes(1024))
PY
refused 3 'another model \(model, now own\)|another model \(touched, now own\)' own in.jsonl mine.jsonl
# a file that cannot be read is no other model
rm -f touched/merges.txt
mkfifo touched/merges.txt
refused 3 'merges.txt: is a FIFO' touched in.jsonl mine.jsonl
# a link at the name of what becomes OUT.job
echo "my letters" >letters
ln -s letters linked.jsonl.job.part
sw batch model in.jsonl linked.jsonl
expect 0 "a link at OUT.job.part"
[ "$(cat letters)" = "my letters" ] && [ ! -L linked.jsonl.job ] || fail "followed a link at OUT.job.part"
# what is no file of lines
iconv -t UTF-16 in.jsonl >utf16
iconv -t UTF-16LE in.jsonl >utf16le
python3 -c "import json; json.dump([json.loads(l) for l in open('in.jsonl')], open('list', 'w'))"
printf 'id,prompt\n1,hello\n' >table
gzip -c in.jsonl >packed
for name in "utf16 UTF-16" "utf16le UTF-16" "list one JSON list" "table a table" "packed gzip" "own/model.safetensors binary"; do
    refused 3 "${name%% *}: looks like ${name#* }" model "${name%% *}" mine.jsonl
    refused 3 "looks like ${name#* }" model "${name%% *}" none.jsonl
    [ ! -e none.jsonl ] || fail "$name: an output was made"
done
refused 2 'standard output' model in.jsonl -
refused 2 'standard input' model - mine.jsonl
refused 3 'No such file' model nowhere.jsonl mine.jsonl
refused 3 'not a regular file' model . mine.jsonl
refused 3 'not a regular file' model pipe mine.jsonl
refused 2 'fresh' model in.jsonl mine.jsonl --fresh --force
refused 2 '-n 0' model in.jsonl mine.jsonl -n 0
refused 5 'no/such' model in.jsonl no/such/out.jsonl
echo "my letters" >letters
refused 3 'nothing shows' model in.jsonl letters
grep -q letters letters || fail "a file of somebody else is gone"
sw score model in.jsonl mine.jsonl
expect 3 "score over batch"
grep -q "made by 'batch'" err || fail "score over batch"
sw batch model in.jsonl mine.jsonl --temperature 0.5 --force
expect 0 "--force"

# Two at once: the second one names the first.
rm -f long.out.jsonl*
"$spillway" batch model long.jsonl long.out.jsonl 2>/dev/null &
job=$!
within 100 test -s long.out.jsonl || fail "no result in long.out.jsonl"
sw batch model long.jsonl long.out.jsonl
expect 3 "two writers"
one_message "two writers" "process $job on host"
kill -TERM $job
wait $job

# No room: what is there is safe, and with room the same command goes on.
python3 make.py 120 100 >in.jsonl
sw batch model in.jsonl out.jsonl --fresh
python3 check.py in.jsonl out.jsonl >one
full() { # WHAT OUT
    expect 5 "$1"
    one_message "$1" "$2: cannot write: .*[1-9][0-9]* of 120 results are safe in $2; the same command"
    n=$(grep -oE '[0-9]+ of 120' err | cut -d' ' -f1)
    [ "$(wc -l <"$2")" = "$n" ] && [ "$(tail -c 1 "$2" | wc -l)" = 1 ] || fail "$1: $n lines are safe, $(wc -l <"$2") there"
}
(
    ulimit -f 8
    exec timeout 300 "$spillway" batch model in.jsonl limited.jsonl
) >out 2>err
code=$?
full "ulimit" limited.jsonl
sw batch model in.jsonl limited.jsonl
expect 0 "after ulimit"
whole "after ulimit" limited.jsonl
mkdir disk
if mount -t tmpfs -o size=20k tmpfs disk 2>/dev/null; then
    cleanups+=("umount '$work/disk'")
    ranks 2 batch model in.jsonl disk/out.jsonl
    full "a full disk" disk/out.jsonl
    mount -o remount,size=1M disk
    ranks 3 batch model in.jsonl disk/out.jsonl
    expect 0 "after a full disk"
    whole "after a full disk" disk/out.jsonl
fi

# What can be watched.
rm -f watched.jsonl*
# somebody is writing to it, after the job has looked how many lines there are
(within 60 test -e metrics.jsonl && printf '{"id": "late", "prom' >>long.jsonl) &
ranks 2 batch model long.jsonl watched.jsonl --metrics metrics.jsonl --timeline trace.json --json
expect 0 "--metrics"
python3 - <<'PY' || fail "--metrics: not as expected"
import json
lines = [json.loads(l) for l in open("metrics.jsonl")]
assert lines and lines[-1]["done"] == lines[-1]["total"] == 2000 and lines[-1]["failed"] == 0
assert all(len(l["busy"]) == 2 and l["host_memory"] > 1e6 for l in lines)
r = json.load(open("out"))
assert r["done"] == 2000 and r["generated_tokens"] > 0 and len(r["busy"]) == 2 and r["slots"] == 32
assert json.load(open("trace.json"))
PY
echo 'pt": "ROMEO:", "max_tokens": 1}' >>long.jsonl
cp metrics.jsonl before.jsonl
sw batch model long.jsonl watched.jsonl --metrics metrics.jsonl --timeline trace.json
expect 0 "a line that was being written"
python3 - <<'PY' || fail "--metrics goes on, --timeline begins anew: not so"
import json
before, lines = open("before.jsonl").read(), open("metrics.jsonl").read()
assert lines.startswith(before) and len(lines) > len(before)
assert ": 1 result in " in open("err").read()
last = json.loads(lines.splitlines()[-1])
assert last["done"] == 2001 and last["generated"] == 1
trace = json.load(open("trace.json"))
assert {e["pid"] for e in trace} == {0} # the run before had two ranks
PY
[ "$(wc -l <watched.jsonl)" = 2001 ] && tail -n 1 watched.jsonl | grep -q '^{"id":"late","text"' ||
    fail "a line that was being written: $(wc -l <watched.jsonl) results, $(grep -c '"error"' watched.jsonl) errors"
finish
