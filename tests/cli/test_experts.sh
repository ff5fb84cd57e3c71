#!/bin/bash
# A Mixtral whose experts are more than three times the memory that a rank may use runs with them on
# disk, read by demand: the same text as in memory with several sizes of the cache, on one rank and
# on two, in run, batch and trace, within the planned memory and with fewer bytes read than whole
# layers have; killed and resumed; a file that vanished is named. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
not_with_asan "takes memory of its own"

cat >config.json <<'JSON'
{"model_type": "mixtral", "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 26,
 "num_local_experts": 8, "num_experts_per_tok": 2,
 "num_attention_heads": 6, "num_key_value_heads": 2, "vocab_size": 1024,
 "max_position_embeddings": 512, "torch_dtype": "float16"}
JSON
mkdir model
cp "$models"/shakespeare/tokenizer*.json model
launch "$make_checkpoint" config.json model f16
expect 0 "writing the model"
experts=$((26 * 8 * 3 * 384 * 1024 * 2))
limit=158
[ $experts -gt $((3 * (limit - 8) << 20)) ] || fail "experts have $experts bytes, less than three times the memory"
small=(--context 64 --chunk 16)

within_plan() {
    case " $(rank_field 'r["peak_host_bytes"] <= r["bytes"]["host"]')" in
    *False*) fail "$1: took $(rank_field 'r["peak_host_bytes"]') of $(rank_field 'r["bytes"]["host"]')" ;;
    esac
}

prompt=$(seq -s, 3 30)
sw run model --tokens "$prompt" -n 6 "${small[@]}" --json
expect 0 "in memory"
run_ids >in-memory
before=$((experts / 4 + 1))
for more in 0 60 160; do
    sw run model --tokens "$prompt" -n 6 "${small[@]}" --json --host-memory $((limit + more))MiB
    expect 0 "from disk, $more"
    [ "$(run_ids)" = "$(cat in-memory)" ] || fail "from disk, $more: other ids"
    within_plan "from disk, $more"
    read=$(rank_field 'int(r["experts"]["read_bytes_per_token"])')
    # a token's experts are a quarter of a layer's
    [ "$read" -lt $before ] || fail "$more: read $read for each token, with less memory $before"
    before=$read
    grep -q 'experts from disk: .*% hits (the plan: .*%), .* read for each token' err ||
        fail "$more: says nothing of the cache"
done
awk -v hits="$(rank_field 'r["experts"]["hit_rate"]')" 'BEGIN { exit !(hits > 0.2) }' || fail "few hits"
ranks 2 run model --tokens "$prompt" -n 6 "${small[@]}" --json --host-memory ${limit}MiB
expect 0 "2 ranks"
[ "$(run_ids)" = "$(cat in-memory)" ] || fail "2 ranks: other ids"
within_plan "2 ranks"
[ "$(rank_field 'r["layers"]["disk"] > 0 and "experts" in r')" = "True True" ] || fail "2 ranks: $(rank_field r)"

# What one run chose most is there from the beginning of the next one, which the plan expects, too.
routes() { sw run model --tokens "$prompt" -n 6 "${small[@]}" --json --host-memory $((limit + 60))MiB "$@"; }
ranks 2 run model --tokens "$prompt" -n 6 "${small[@]}" --routes routes.jsonl
expect 0 "--routes"
"${make_checkpoint%/*}/replay_routes" --capacity 52,208 routes.jsonl >out 2>err || fail "the routes cannot be replayed"
grep -Eq '^ +208 100' out || fail "the routes are not of 208 experts"
routes
plain=$(rank_field 'r["experts"]["read_bytes_per_token"]')
expected=$(rank_field 'r["experts"]["predicted_hit_rate"]')
routes --popularity routes.jsonl
expect 0 "--popularity"
[ "$(run_ids)" = "$(cat in-memory)" ] || fail "--popularity: other ids"
within_plan "--popularity"
awk -v a="$(rank_field 'r["experts"]["predicted_hit_rate"]')" -v b="$expected" 'BEGIN { exit !(a > b) }' ||
    fail "--popularity: the plan expects no more hits than $expected"
awk -v a="$(rank_field 'r["experts"]["read_bytes_per_token"]')" -v b="$plain" 'BEGIN { exit !(a < b) }' ||
    fail "--popularity: not less is read than $plain"
routes --routes model/config.json
expect 2 "--routes over the model"
routes --popularity lines.none
expect 3 "--popularity without a file"
one_message "--popularity without a file" '--popularity: .*lines.none'

sw trace model --tokens 5,6,7 --dump a.safetensors "${small[@]}"
expect 0 "trace in memory"
sw trace model --tokens 5,6,7 --dump b.safetensors --routes traced "${small[@]}" --host-memory ${limit}MiB
expect 0 "trace from disk"
[ "$(grep -c '"step":0,.*\[\[[0-9],[0-9]\],\[[0-9],[0-9]\],\[[0-9],[0-9]\]\]' traced)" = 26 ] || fail "trace: other routes"
cmp a.safetensors b.safetensors || fail "trace: other logits"

for i in 1 2 3 4 5 6 7 8; do
    echo "{\"id\": \"$i\", \"prompt\": [$i, 4, 5], \"max_tokens\": $((i + 2)), \"temperature\": 0}"
done >lines
sw batch model lines wanted "${small[@]}"
expect 0 "batch in memory"
"$spillway" batch model lines got "${small[@]}" --host-memory ${limit}MiB --slots 2 >out 2>err &
within 300 test -s got || fail "no result within minutes"
kill -KILL $!
wait $! 2>/dev/null
ranks 2 batch model lines got "${small[@]}" --host-memory ${limit}MiB --slots 3
expect 0 "batch, resumed"
[ "$(sort got)" = "$(sort wanted)" ] || fail "batch: other results than in memory"

: >out
(within 200 test -s out && rm model/model.safetensors) & # its text has begun
sw run model --tokens "$prompt" -n 300 --context 512 --chunk 16 --host-memory 190MiB --ignore-end
wait
expect 3 "a file that vanished"
[ "$(grep -c 'model.safetensors: does not exist any more' err)" = 1 ] || fail "the file is not named once"
finish
