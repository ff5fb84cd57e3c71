#!/bin/bash
# A model of more than three times the memory that a rank may use runs with layers on disk: the same
# text on one rank and on two, within the planned memory, in run, batch and trace; killed and
# resumed; a file that vanished is named. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/cgroup.sh
. "$here/../cgroup.sh"
not_with_asan "takes memory of its own"

cat >config.json <<'JSON'
{"model_type": "llama", "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 48,
 "num_attention_heads": 12, "num_key_value_heads": 4, "vocab_size": 1024,
 "max_position_embeddings": 512, "torch_dtype": "float16"}
JSON
mkdir model
cp "$models"/shakespeare/tokenizer*.json model
launch "$make_checkpoint" config.json model f16
expect 0 "writing the model"
bytes=$(stat -c %s model/model.safetensors)
small=(--context 64 --chunk 16)
limit=(--host-memory 160MiB)
[ "$bytes" -gt $((3 * 160 << 20)) ] || fail "the model has $bytes bytes, less than three times the memory"


prompt=$(seq -s, 3 30)
sw run model --tokens "$prompt" -n 5 "${small[@]}" --json
expect 0 "in memory"
run_ids >in-memory
for n in 1 2; do
    ranks $n run model --tokens "$prompt" -n 5 "${small[@]}" "${limit[@]}" --json
    expect 0 "from disk, $n ranks"
    [ "$(run_ids)" = "$(cat in-memory)" ] || fail "from disk, $n ranks: other ids"
    [ "$(rank_field 'r["layers"]["disk"]' | awk '{ print $1 + $2 }')" -gt 20 ] || fail "$n ranks: few layers on disk"
    case " $(rank_field 'r["peak_host_bytes"] <= r["bytes"]["host"]')" in
    *False*) fail "$n ranks: took $(rank_field 'r["peak_host_bytes"]') of $(rank_field 'r["bytes"]["host"]')" ;;
    esac
    grep -q 'layers from disk: .* GB in .* passes, .* GB/s' err || fail "$n ranks: no rate of the disk"
done
grep -q 'rank 0 on .* layers on disk' err || fail "the placement does not say what is on disk"

# What a layer is predicted to take follows from what the file has of it, whatever is made of that.
predicted() { # MEMORY OPTIONS…: seconds for each layer on disk
    sw run model --tokens 1,2 -n 1 "${small[@]}" --host-memory "$@" --json
    expect 0 "from disk, predicted with $*"
    python3 -c 'import json
d = json.load(open("out"))
print(d["predicted"]["s_per_token"] / d["ranks"][0]["layers"]["disk"])'
}
as_stored=$(predicted 160MiB)
packed=$(predicted 150MiB --weights q4_0)
awk "BEGIN { exit !($packed > 0.6 * $as_stored) }" ||
    fail "a layer from disk is predicted to take $as_stored s, and in q4_0 of the same file $packed s"

sw trace model --tokens 5,6,7 --dump a.safetensors "${small[@]}"
expect 0 "trace in memory"
sw trace model --tokens 5,6,7 --dump b.safetensors "${small[@]}" "${limit[@]}"
expect 0 "trace from disk"
cmp a.safetensors b.safetensors || fail "trace: other logits"

for i in 1 2 3 4 5 6 7 8; do
    echo "{\"id\": \"$i\", \"prompt\": [$i, 4, 5], \"max_tokens\": $((i + 2)), \"temperature\": 0}"
done >lines
sw batch model lines wanted "${small[@]}"
expect 0 "batch in memory"
"$spillway" batch model lines got "${small[@]}" "${limit[@]}" --slots 2 >out 2>err &
within 300 test -s got || fail "no result within minutes"
kill -KILL $!
wait $! 2>/dev/null
[ "$(wc -l <got)" -lt 8 ] || fail "the job was over before it was killed"
ranks 2 batch model lines got "${small[@]}" "${limit[@]}" --slots 2
expect 0 "batch, resumed"
[ "$(sort got)" = "$(sort wanted)" ] || fail "batch: other results than in memory"

# By itself: what a control group leaves is all that there is, page cache included.
only_in() { # WHAT TOKENS COMMAND…: as in memory, or not possible here
    "${@:3}" timeout -k 5 300 "$spillway" run model --tokens "$prompt" -n "$2" --chunk 16 --json >out 2>err </dev/null
    code=$?
    if [ $code = 125 ]; then
        echo "left out: $1: no control group can be made here"
        return 1
    fi
    expect 0 "$1"
    case $(cat in-memory) in "$(run_ids | tr -d ']')"*) ;; *) fail "$1: other ids" ;; esac
}
if only_in "a memory of 184 MiB" 5 in_memory $((184 << 20)); then
    [ "$(rank_field 'r["layers"]["disk"]')" -gt 20 ] || fail "184 MiB: few layers on disk"
    slow() { in_memory $((184 << 20)) at_disk_rate model/model.safetensors 250000000 "$@"; }
    only_in "a disk of 250 MB/s" 2 slow
fi

# A file that vanishes while the text is made is named by the next pass over it.
: >out
(within 200 test -s out && rm model/model.safetensors) & # its text has begun
sw run model --tokens "$prompt" -n 300 --context 512 --chunk 16 --host-memory 170MiB --ignore-end
wait
expect 3 "a file that vanished"
[ "$(grep -c 'model.safetensors: does not exist any more' err)" = 1 ] || fail "the file is not named once"
finish
