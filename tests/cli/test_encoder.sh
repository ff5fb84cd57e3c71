#!/bin/bash
# An encoder-decoder through every verb: run, batch, score and trace, on one rank and on several that cut
# inside the encoder, between the stacks and inside the decoder; what such a model does not do is said.
# $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"

mkdir -p t5
cp "$models/../text/data/unigram/spiece.model" t5/
cat >t5/config.json <<'EOF'
{"model_type": "t5", "d_model": 24, "d_kv": 8, "d_ff": 40, "num_layers": 2, "num_decoder_layers": 3,
 "num_heads": 3, "vocab_size": 512, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": false,
 "eos_token_id": 1, "pad_token_id": 0, "torch_dtype": "float32"}
EOF
t5=(t5 --weights-from random)
prompt="the way of all <extra_id_0> rows"

sw run "${t5[@]}" "$prompt" -n 12 --ignore-end --json
expect 0 "run"
run_ids | tr -d ' ' >one.ids
[ "$(tr ',' '\n' <one.ids | wc -l)" = 12 ] || fail "run: not 12 ids: $(cat one.ids)"
# line_ids FILE ID: the ids of a result
line_ids() { grep "\"id\":\"$2\"" "$1" | grep -oE '"ids":\[[^]]*\]' | sed 's/"ids"://'; }
for form in "2 --slices 1,4" "2 --slices 2,3" "2 --slices 4,1" "3 --slices 1,2,2" "5" "2 --threads 2"; do
    read -r n options <<<"$form"
    # shellcheck disable=SC2086 # words
    ranks "$n" run "${t5[@]}" "$prompt" -n 12 --ignore-end --json $options
    expect 0 "run on $form"
    run_ids | tr -d ' ' | cmp -s - one.ids || fail "run on $form: other ids"
done

# several at once: the answer of each is what it is alone
cat >in.jsonl <<EOF
{"id": "a", "prompt": "$prompt", "max_tokens": 12, "ignore_end": true}
{"id": "b", "prompt": "a file", "max_tokens": 7, "ignore_end": true}
{"id": "c", "prompt": [5, 6, 7, 1], "max_tokens": 5, "ignore_end": true}
{"id": "d", "prompt": "$prompt", "max_tokens": 12, "ignore_end": true}
EOF
sw batch "${t5[@]}" in.jsonl one.jsonl
expect 0 "batch"
for id in a d; do
    line_ids one.jsonl "$id" | cmp -s - one.ids || fail "batch: $id is not what run gives"
done
ranks 3 batch "${t5[@]}" in.jsonl three.jsonl --slices 1,2,2 --slots 2
expect 0 "batch on three ranks"
cmp -s <(sort one.jsonl) <(sort three.jsonl) || fail "batch: other answers on three ranks"

# the log-probability of a target given its source
cat >in.jsonl <<EOF
{"id": "t", "source": "$prompt", "target": "<extra_id_0> the file"}
{"id": "c", "context": "$prompt", "continuation": " the file"}
{"id": "q", "context": "$prompt", "choices": ["the file", "all ranks", "one"]}
{"id": "x", "text": "$prompt"}
EOF
sw score "${t5[@]}" in.jsonl score.jsonl
expect 0 "score"
grep -q '"id":"x","error":.*an encoder-decoder cannot score' score.jsonl || fail "score: text was scored"
tokens() { grep "\"id\":\"$1\"" score.jsonl | grep -o '"id":[0-9]' | wc -l; }
[ "$(tokens t)" -gt 3 ] || fail "score: too few tokens of the target"
grep '"id":"t"' score.jsonl | grep -q '"id":1,"logprob":[^}]*}\]' || fail "score: the target has no end"
grep '"id":"c"' score.jsonl | grep -q '"id":1,"logprob":[^}]*}\]' && fail "score: the continuation has an end"
ranks 2 score "${t5[@]}" in.jsonl score2.jsonl --slices 3,2
expect 0 "score on two ranks"
cmp -s <(sort score.jsonl) <(sort score2.jsonl) || fail "score: other numbers on two ranks"
printf '{"id": "t", "source": "a", "target": "b"}\n' >in.jsonl
sw score "$models/shakespeare" in.jsonl refused.jsonl
expect 0 "score of a target by a decoder"
grep -q 'no encoder' refused.jsonl || fail "a decoder scored a target"

sw trace "${t5[@]}" --source 5,6,7,1 --tokens 0,9,8 --dump one.safetensors --hidden
expect 0 "trace"
for name in logits embed embed.source hidden.0 hidden.4; do
    head -c 2000 one.safetensors | grep -q "\"$name\"" || fail "trace: no $name"
done
head -c 2000 one.safetensors | grep -qE '"hidden.1":\{[^}]*\[4,24\]' || fail "trace: hidden.1 is not of the source"
head -c 2000 one.safetensors | grep -qE '"hidden.2":\{[^}]*\[3,24\]' || fail "trace: hidden.2 is not of the target"
ranks 3 trace "${t5[@]}" --source 5,6,7,1 --tokens 0,9,8 --dump three.safetensors --hidden --slices 1,2,2
expect 0 "trace on three ranks"
cmp -s one.safetensors three.safetensors || fail "trace: other bits on three ranks"
sw trace "${t5[@]}" --tokens 0,9,8 --dump x.safetensors
expect 2 "trace without a source"
one_message "trace without a source" "--source"

# a source goes in whole
sw run "${t5[@]}" --tokens 5,6,7,8,9,1 -n 2 --chunk 4
expect 3 "a source longer than a micro-batch"
one_message "a source longer than a micro-batch" "an encoder takes it whole"
sw score "${t5[@]}" --perplexity "$models/README.md" --context 32
[ "$code" != 0 ] || fail "perplexity of an encoder-decoder"
grep -q 'needs a source' err || fail "perplexity: not said why: $(cat err)"
sw compare t5 t5 "$models/README.md" --weights-from random --context 32
expect 2 "compare of an encoder-decoder"
one_message "compare of an encoder-decoder" "compare: t5 is an encoder-decoder"

# A token that bench counts reads the decoder's weights, however many layers the encoder has.
mkdir deep
sed 's/"num_layers": 2/"num_layers": 5/' t5/config.json >deep/config.json
for model in t5 deep; do
    sw bench $model --weights-from random -p 20 -n 8 -r 1 --json
    expect 0 "bench of $model"
    grep '"bytes_per_token"' out >$model.bytes
done
[ -s t5.bytes ] && cmp -s t5.bytes deep.bytes || fail "bench: the encoder counts for a token"
finish
