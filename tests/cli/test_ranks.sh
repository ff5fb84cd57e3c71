#!/bin/bash
# The same text and the same bits on 1, 2 and 3 ranks, however the layers are cut, on 1 and 2
# threads and however the prompt is cut; prompts from the line, a file and standard input; JSON.
# $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
shakespeare=$models/shakespeare
prompt=$'GLOUCESTER:\nNow is the winter of'

sw run "$shakespeare" "$prompt" -n 48
expect 0 "one rank"
cp out one.txt
[ "$(wc -c <one.txt)" -gt 60 ] || fail "little text"
# Speeds of small models are thousands: in plain figures
number='[0-9]+(\.[0-9]+)?'
one_message "speeds" "^spillway: prompt [0-9]+ tokens, $number tokens/s; generated 48, $number tokens/s \
\\(predicted $number\\); loaded in [0-9.]+ s\$"
for form in "2 --slices 3,3" "2 --slices 1,5" "3 --slices 2,2,2" "3 --slices 1,4,1" "2 --threads 1" \
    "2 --threads 2 --chunk 3" "3 --slices 2,1,3 --chunk 1" "3"; do
    read -r n options <<<"$form"
    # shellcheck disable=SC2086 # words
    ranks "$n" run "$shakespeare" "$prompt" -n 48 $options
    expect 0 "ranks and options: $form"
    cmp -s out one.txt || fail "ranks and options $form: another text"
done

sw run "$shakespeare" "$prompt" -n 1
one_message "one token, whose time is the prompt's" "tokens/s; generated 1; loaded"

# Far more threads than cores: the same text, and one warning that says how many of both.
many=$((2 * $(nproc --all) + 1))
if [ $many -le 1024 ]; then
    for n in 1 2; do
        ranks $n run "$shakespeare" "$prompt" -n 48 --threads $many
        expect 0 "$many threads on $n ranks"
        cmp -s out one.txt || fail "$many threads on $n ranks: another text"
        [ "$(grep -cE "^spillway: .*: $many threads share the [0-9]+ cores?" err)" = 1 ] ||
            fail "$many threads on $n ranks: not one warning"
    done
    sw run "$shakespeare" "$prompt" -n 1 --threads "$(nproc --all)"
    grep -q 'threads share' err && fail "a thread for each core: a warning"
fi

printf '%s' "$prompt" >prompt.txt
sw run "$shakespeare" -n 48 -f prompt.txt
cmp -s out one.txt || fail "--file: another text"
for launcher in "" "mpirun -np 2"; do
    $launcher "$spillway" run "$shakespeare" -n 48 <prompt.txt >out 2>err
    cmp -s out one.txt || fail "$launcher standard input: another text"
done
sw run "$shakespeare" -n 48 --no-stream "$prompt"
cmp -s out one.txt || fail "--no-stream: another text"
"$spillway" run "$shakespeare" "$prompt" -n 40 2>err | head -c 3 >out
[ "${PIPESTATUS[0]}" = 5 ] || fail "a reader that ends: not exit code 5"
one_message "a reader that ends" "the reader closed the pipe"

# Drawn text is the same for the same seed, and differs for another.
sw run "$shakespeare" "$prompt" -n 32 --temperature 1 --seed 5
cp out drawn.txt
ranks 3 run "$shakespeare" "$prompt" -n 32 --temperature 1 --seed 5
cmp -s out drawn.txt || fail "the same seed on three ranks: another text"
ranks 3 run "$shakespeare" "$prompt" -n 32 --temperature 1 --seed 6
cmp -s out drawn.txt && fail "another seed, the same text"

json() { python3 -c "import json, sys; r = json.load(sys.stdin); $1" <out || fail "$2"; }
ranks 2 run "$shakespeare" "$prompt" -n 48 --json --logprobs 2
expect 0 "--json"
json "assert r['text'] + '\\n' == open('one.txt').read()
assert len(r['ids']) == r['generated_tokens'] == 48 and r['finish_reason'] == 'length'
assert [x['rank'] for x in r['ranks']] == [0, 1] and r['predicted']['tokens_per_s'] > 0
assert r['prompt_tokens'] > 0 and r['tokens_per_s'] > 0 and r['prompt_tokens_per_s'] > 0
assert len(r['logprobs']) == 48 and all(len(l['top']) == 2 for l in r['logprobs'])" "run --json"
sw inspect "$shakespeare" --json
json "assert r['layers'] == 6 and r['formats']['bf16']['weight_bytes'] > 4e6" "inspect --json"
sw plan "$shakespeare" --cluster "2x(host:4G)" --json
json "assert r['fits'] and sum(s['count'] for s in r['stages']) == 6" "plan --json"
json "assert r['request'] == {'prompt_tokens': 128, 'new_tokens': 128}" "plan: a request that fits"
# bench holds its speed against a prediction of this machine's, not of what machines have usually
sw plan "$shakespeare" --cluster "1x(host:4G)" --json
json "open('usual', 'w').write(str(r['predicted']['prompt_tokens_per_s']))" "plan --json for one rank"
sw bench "$shakespeare" -r 1 --json
expect 0 "bench without sizes"
json "assert r['prompt_tokens'] == 128 and r['generated_tokens'] == 128" "bench: a prompt that fits"
json "assert abs(r['predicted']['prompt_tokens_per_s'] / float(open('usual').read()) - 1) > 1e-4" \
    "bench: nothing was measured for the prediction"
sw bench "$shakespeare" -p 16 -n 8 -r 1 --json
json "assert r['tokens_per_s'] > 0 and r['prompt_tokens_per_s'] > 0" "bench --json"
sw run "$models/tiny/llama" --tokens 1,2 -n 5 --json
json "open('ids', 'w').write(' '.join(map(str, r['ids'])) + '\\n')" "ids as JSON"
sw run "$models/tiny/llama" --tokens 1,2 -n 5
cmp -s out ids || fail "without a tokenizer: not the ids"
sw trace "$shakespeare" --tokens 1,2 --dump a.safetensors --json
json "assert r['tokens'] == 2" "trace --json"
ranks 2 probe --json -q
json "assert r" "probe --json"

# With quantized weights: planned as inspected, and one text on one, two and three ranks.
for format in int8 q8_0 q4_0 q4_k iq4_xs nf4 fp8 q5_1 mxfp4 int4_g128 nf4_nested int2_g32 int3_g128; do
    sw inspect "$shakespeare" --json
    json "open('bytes', 'w').write(str(r['formats']['$format']['weight_bytes']))
assert r['formats']['$format']['weight_bytes'] < 0.9 * r['formats']['bf16']['weight_bytes']
assert r['formats']['$format']['kv_bytes_per_token'] == r['formats']['bf16']['kv_bytes_per_token']" \
        "inspect $format"
    sw plan "$shakespeare" --cluster "1x(host:4G)" --weights $format --json
    json "assert r['weights'] == '$format' and r['kv'] == 'bf16'
parts = r['stages'][0]['breakdown']['host']
assert parts['weights'] + parts['embedding'] + parts['head'] == int(open('bytes').read())" "plan $format"
    sw run "$shakespeare" "$prompt" -n 48 --weights $format
    expect 0 "run $format"
    cp out quantized.txt
    ranks 2 run "$shakespeare" "$prompt" -n 48 --weights $format
    cmp -s out quantized.txt || fail "$format on two ranks: another text"
    ranks 3 run "$shakespeare" "$prompt" -n 48 --weights $format --chunk 3 --slices 1,4,1
    cmp -s out quantized.txt || fail "$format on three ranks: another text"
    sw bench "$shakespeare" -p 16 -n 8 -r 1 --weights $format --json
    json "assert r['weights'] == '$format' and r['tokens_per_s'] > 0 and r['peak_flops'] > 0" \
        "bench $format"
    printf '{"id": "a", "prompt": "ROMEO:", "max_tokens": 4}\n' >in.jsonl
    rm -f out.jsonl*
    ranks 2 batch "$shakespeare" in.jsonl out.jsonl --weights $format
    expect 0 "batch $format"
    [ "$(wc -l <out.jsonl)" = 1 ] || fail "batch $format: not one result"
done

# A format for each role: planned as asked, and the same bits on any ranks.
roles=q8_0,experts=int8,router=f32,embedding=int8,head=f16,v=bf16
mixtral=$models/tiny/mixtral
sw plan "$mixtral" --cluster "1x(host:4G)" --weights $roles --json
json "assert r['weights'] == '$roles'" "plan by role"
sw plan "$mixtral" --cluster "1x(host:4G)" --weights $roles --sbatch
grep -q -- "--weights $roles" out || fail "a job file leaves out what is asked by role"
sw trace "$mixtral" --tokens 1,5,9,2,7,3 --hidden --dump one.safetensors -w $roles
expect 0 "weights by role"
sw trace "$mixtral" --tokens 1,5,9,2,7,3 --hidden --dump other.safetensors -w q8_0
cmp -s one.safetensors other.safetensors && fail "weights by role: the bits of one format"
for form in "1 --threads 1 --chunk 1" "2" "3 --chunk 4"; do
    read -r n options <<<"$form"
    # shellcheck disable=SC2086 # words
    ranks "$n" trace "$mixtral" --tokens 1,5,9,2,7,3 --hidden --dump other.safetensors -w $roles $options
    expect 0 "weights by role, $form"
    cmp one.safetensors other.safetensors || fail "weights by role, $form: other bits"
done
# A role asked for as what it has anyway changes nothing.
sw trace "$mixtral" --tokens 1,5,9,2,7,3 --dump one.safetensors -w q8_0
sw trace "$mixtral" --tokens 1,5,9,2,7,3 --dump other.safetensors -w bf16,attention=q8_0,experts=q8_0
cmp one.safetensors other.safetensors || fail "roles that say what q8_0 does: other bits"

# Bits: logits and every hidden state.
tokens=1,5,9,2,7,3,3,8,4,6,11
# (llama_own_head: rank 0 alone reads that its head is not the embedding)
for model in gpt_neox gptj gpt2 opt_350m bloom llama31 mistral qwen3 mixtral llama_own_head; do
    dir=$models/tiny/$model
    sw inspect "$dir" --json
    layers=$(sed -n 's/.*"layers": \([0-9]*\).*/\1/p' out)
    sw trace "$dir" --tokens $tokens --hidden --dump one.safetensors
    expect 0 "$model"
    for form in "1 --threads 1 --chunk 1" "1 --threads 2 --chunk 3" "2 --slices 1,$((layers - 1))" \
        "2 --slices $((layers - 1)),1 --chunk 4 --threads 2" "3"; do
        read -r n options <<<"$form"
        # shellcheck disable=SC2086 # words
        ranks "$n" trace "$dir" --tokens $tokens --hidden --dump other.safetensors $options
        expect 0 "$model, $form"
        cmp one.safetensors other.safetensors || fail "$model, ranks and options $form: other bits"
    done
done
finish
