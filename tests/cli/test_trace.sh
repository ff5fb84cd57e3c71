#!/bin/bash
# trace of many texts: values bit for bit as of one text (--tokens), the same files on 1, 2 and 3
# ranks, with small chunks and few slots, and after two kills; bad lines; what is refused.
# $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
small_job

cat >make.py <<'PY'
"""make.py N: N lines of prompts, texts and ids, with a bad one among them."""
import json, random, sys

random.seed(1)
words = "what is the king doing here now that all his men are gone to France again".split()
for i in range(int(sys.argv[1])):
    n = random.randrange(1, 40)
    line = {"id": f"p{i}", "prompt": " ".join(random.choices(words, k=n))}
    if i % 5 == 0:
        line["prompt"] = [random.randrange(1, 1000) for _ in range(n)]
    if i == 7:
        del line["prompt"]
    if i == 9:
        del line["id"]
    if i == 11:
        line["prompt"] = [1, 5000]
    print(json.dumps(line))
PY
cat >read.py <<'PY'
"""Opens a trace: rows(folder) gives (result, {tensor name: list of rows as bytes})."""
import json, os, struct

def tensor(path, name):
    with open(path, "rb") as f:
        head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        start = f.tell()
        t = head[name]
        f.seek(start + t["data_offsets"][0])
        data = f.read(t["data_offsets"][1] - t["data_offsets"][0])
        assert f.read() == b"" or len(head) > 2, path
    return t["dtype"], t["shape"], data

def rows(folder):
    index = json.load(open(f"{folder}/index.json"))
    tensors = {n: tensor(f"{folder}/{f}", n) for n, f in index["weight_map"].items()}
    used = {n: 0 for n in tensors}
    total = sum(len(t[2]) for t in tensors.values())
    assert index["metadata"]["total_size"] == total, (index, total)
    for line in open(f"{folder}/{index['metadata']['results']}"):
        r = json.loads(line)
        values = {}
        for name, (dtype, shape, data) in tensors.items() if "shard" in r else ():
            kind, shard = name.split(".")
            if int(shard) == r["shard"]:
                assert used[name] == r["first"], (name, r)  # every position is one result's
                used[name] += r["count"]
                width = len(data) // shape[0]
                values[kind] = [data[p * width:(p + 1) * width]
                                for p in range(r["first"], r["first"] + r["count"])]
        yield r, values
    assert all(used[n] == t[1][0] for n, t in tensors.items()), used
PY
cat >check.py <<'PY'
"""check.py FOLDER: results of in.jsonl, in its order; first.jsonl: the texts to compare alone."""
import json, sys
from read import rows, tensor

lines = [json.loads(l) for l in open("in.jsonl")]
results = [r for r, _ in rows(sys.argv[1])]
assert [r["id"] for r in results] == [l.get("id", f"line-{i + 1}") for i, l in enumerate(lines)]
assert [i for i, r in enumerate(results) if "error" in r] == [7, 11], results
print(len(results), "results,", max(r.get("shard", 0) for r in results) + 1, "shards")
PY
cat >alone.py <<'PY'
"""alone.py FOLDER LINE: positions 0 and -1 of a line are those of alone.safetensors."""
import sys, struct
from read import rows, tensor

result, values = list(rows(sys.argv[1]))[int(sys.argv[2])]
hidden = [tensor("alone.safetensors", n)[2] for n in ("embed", "hidden.0", "hidden.5")]
logits = tensor("alone.safetensors", "logits")[2]
n = result["tokens"]
assert result["count"] == 2, result
for i, p in enumerate((0, n - 1)):
    expected = b"".join(h[p * 640:(p + 1) * 640] for h in hidden)
    assert values["hidden"][i] == expected, (i, p)
    assert values["logits"][i] == logits[p * 4096:(p + 1) * 4096], (i, p)
    row = struct.unpack("<1024f", values["logits"][i])
    top = sorted(range(1024), key=lambda k: (-row[k], k))[:3]
    assert struct.unpack("<3i", values["top_ids"][i]) == tuple(top), (i, p)
    logprobs = struct.unpack("<3f", values["top_logprobs"][i])
    assert abs(logprobs[0] - logprobs[2] - (row[top[0]] - row[top[2]])) < 1e-4
PY
cat >mean.py <<'PY'
"""mean.py ALL MEAN: MEAN is the mean of ALL."""
import sys, struct
from read import rows

for (r, a), (_, m) in zip(rows(sys.argv[1]), rows(sys.argv[2]), strict=True):
    if "error" in r:
        continue
    width = len(m["hidden"][0]) // 4
    every = [struct.unpack(f"<{width}f", x) for x in a["hidden"]]
    assert len(every) == r["tokens"], r
    mean = [sum(column) / len(every) for column in zip(*every)]
    assert struct.pack(f"<{width}f", *mean) == m["hidden"][0], r
PY
# checked WHAT PROGRAM ARGUMENT…: a script of the above passes.
checked() {
    local what=$1
    shift
    python3 "$@" >seen 2>&1 && echo "$what: $(cat seen)" || { cat seen; fail "$what"; }
}
# same WHAT FOLDER: its files are those of acts.
same() { diff -r -x '*.job' acts "$2" >seen || { cat seen; fail "$1: other bytes"; }; }

python3 make.py 200 >in.jsonl
values=(--layers "embed,0,-1" --positions "0,-1" --logits --logprobs 3 --shard 400K)
sw trace model in.jsonl acts "${values[@]}" -w f32 --json
expect 0 "trace"
checked "trace" check.py acts
python3 -c "import json; r = json.load(open('out'))
assert r['lines'] == r['done'] == 200 and r['failed'] == 2 and r['prompt_tokens'] > 198, r" || fail "--json"
for line in 0 1 5 9 100 199; do
    python3 -c "import json; l = json.loads(open('in.jsonl').readlines()[$line])
p = l['prompt']; print(p if isinstance(p, str) else ','.join(map(str, p)), end='')" >prompt
    if [ $((line % 5)) = 0 ]; then ids=$(cat prompt); else
        ids=$("$spillway" tokens model <prompt | tr ' ' ,)
    fi
    sw trace model --tokens "$ids" --dump alone.safetensors --hidden -w f32
    expect 0 "line $line alone"
    checked "line $line" alone.py acts $line
done
for form in "2 --chunk 16 --slots 3" "3 --chunk 64" "1 --slots 1 -t 1"; do
    read -r n options <<<"$form"
    # shellcheck disable=SC2086 # words
    ranks "$n" trace model in.jsonl again "${values[@]}" -w f32 --fresh $options
    expect 0 "trace, $form"
    same "trace, $form" again
done
ranks 2 trace model in.jsonl every --positions all --layers 2,-1 -w f32
expect 0 "all positions"
ranks 2 trace model in.jsonl mean --positions mean --layers 2,-1 -w f32 --chunk 16
expect 0 "the mean"
checked "the mean" mean.py every mean

# Nothing is left; what is gone is named; another choice is another job.
sw trace model in.jsonl acts "${values[@]}" -w f32
expect 0 "again"
grep -q 'nothing is left' err || fail "again: does not say so"
same "again" again
mv again/logits-00000.safetensors gone
sw trace model in.jsonl again "${values[@]}" -w f32
expect 3 "a file that is gone"
one_message "a file that is gone" 'again/logits-00000\.safetensors: is not there.*--fresh'
sw trace model in.jsonl acts --layers 0 -w f32
expect 3 "another choice"
one_message "another choice" 'another job: .*--layers is "0", was "embed,0,-1"'

# Killed twice with all its ranks while it writes, and resumed: the same bytes, every line once.
values=(--layers "embed,0,-1" --positions "0,-1" --logits --logprobs 3 --shard 6M)
python3 make.py 2000 >in.jsonl
ranks 1 trace model in.jsonl acts "${values[@]}" -w f32 --fresh
expect 0 "the long job"
checked "the long job" check.py acts
deaths=0
for least in 200 1200; do
    timeout 300 mpirun -np 2 "$spillway" trace model in.jsonl killed "${values[@]}" -w f32 --slots 4 \
        -t 1 2>err &
    job=$!
    for _ in $(seq 10000); do
        [ "$(wc -l <killed/results.jsonl)" -gt $least ] && break
        sleep 0.01
    done 2>/dev/null
    mapfile -t pids < <(pgrep -f "^$spillway trace model in.jsonl killed")
    kill -KILL "${pids[@]}" 2>/dev/null && deaths=$((deaths + 1))
    wait $job 2>/dev/null
    within 100 none_left "^$spillway trace"
    echo "killed at $(wc -l <killed/results.jsonl) of 2000, in $(ls killed/*.safetensors | wc -l) files"
done
[ $deaths = 2 ] || fail "it was done before it could be killed"
truncate -s -3 killed/results.jsonl # as if the power had gone
ranks 2 trace model in.jsonl killed "${values[@]}" -w f32
expect 0 "resumed"
same "resumed" killed

# What is refused, by name.
printf '{"id": 1, "prompt": [1, 2]}\n{"id": 2, "prompt": [1, 2, 3]}\n' >short.jsonl
sw trace model short.jsonl list --positions 2
expect 0 "a position that a text lacks"
grep -q '"error".*has 2 tokens, so it has no position 2' list/results.jsonl || fail "a short text"
mkdir full && touch full/mine
# refused PATTERN OPTION…: wrong usage, which the message says.
refused() {
    local pattern=$1
    shift
    sw trace model short.jsonl refused "$@"
    expect 2 "$*"
    one_message "$*" "$pattern"
}
refused 'there is no layer 6; the model has 6' --layers 6
refused "is not 'all', nor a list" --layers all,0
refused "is not 'all', nor a list" --layers 0,
refused "is not 'last', 'mean' or 'all'" --positions x
refused 'at most 32' --logprobs 33
refused 'mean is of hidden states' --positions mean --logits
refused 'needs some room' --shard 0
refused 'expected MODEL alone' --tokens 1,2
[ -e refused ] && fail "a refused trace made its folder"
sw trace model short.jsonl full
expect 2 "a folder with files"
one_message "a folder with files" 'full: has files, but no results'
sw trace model short.jsonl prompts
expect 2 "a file"
one_message "a file" 'prompts: is not a folder'
sw trace model short.jsonl
expect 2 "too few"
sw trace model none.jsonl unmade
[ -e unmade ] && fail "a missing input made a folder"
finish
