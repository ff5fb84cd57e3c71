#!/bin/bash
# --help, --version and what is said about a wrong command line. SW_UPDATE_GOLDENS=1 writes the
# goldens anew. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"

sw --help
expect 0 --help
cp out actual
golden help.txt
verbs=$(sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p' out)
[ "$(wc -w <<<"$verbs")" -ge 7 ] || fail "verbs in --help"
for verb in $verbs; do
    sw "$verb" --help
    expect 0 "$verb --help"
    [ -s err ] && fail "$verb --help writes to stderr"
    # one idea a line; lists of words are in tables
    LC_ALL=C grep -E '^.{131}' out && fail "$verb --help: lines of more than 130 bytes"
    cp out actual
    golden "help-$verb.txt"
    mv out one && sw help "$verb"
    cmp -s out one || fail "help $verb: not what $verb --help says"
    grep -q '^  spillway \|^  mpirun \|^  echo ' out || fail "$verb --help has no example"
done

# What needs no other rank is said once.
for line in "inspect shakespeare" "plan shakespeare --cluster 1x(host:4G)" "tokens shakespeare" \
    "run --help"; do
    # shellcheck disable=SC2086 # words
    sw ${line//shakespeare/$models/shakespeare}
    mv out one
    # shellcheck disable=SC2086 # words
    ranks 3 ${line//shakespeare/$models/shakespeare}
    expect 0 "three ranks: $line"
    cmp -s out one || fail "three ranks: $line: not what one says"
done
# What only some models have is told of them, in both forms.
sw inspect "$models/tiny/gemma4_e"
grep -q '^  layer inputs 10 for each layer and token, of a table of 0.008 million' out || fail "inspect: layer inputs"
grep -q '^  borrowed     the last 3 layers .* MLP 110$' out || fail "inspect: borrowed keys and values"
sw inspect "$models/tiny/gemma4_e" --json
python3 -c 'import json; d = json.load(open("out")); assert (d["layer_inputs"], d["borrowing_layers"]) == (10, 3), d' ||
    fail "inspect --json: layer inputs"
sw inspect "$models/tiny/llama"
grep -qE 'layer inputs|borrowed' out && fail "inspect: a model without layer inputs has some"
# A quantized model is told as it is stored, not as the type of its few other weights.
sw inspect "$models/quantized/nf4"
grep -q '^  parameters   0.262 million, most of them stored as nf4$' out || fail "inspect: nf4 is not stored as nf4"
grep -qE '^  as stored +170 KiB +512 B$' out || fail "inspect: bytes as stored"
[ "$(sed -n '/^  weights /,$p' out | awk '{ print length($0) }' | sort -u | wc -l)" = 1 ] || fail "inspect: columns"
sw inspect "$models/quantized/nf4" --json
python3 -c 'import json; d = json.load(open("out")); assert d["stored"]["format"] == "nf4" and d["stored"]["weight_bytes"] >> 10 == 169, d' ||
    fail "inspect --json: as stored"
sw --version
expect 0 --version
grep -Eq '^spillway [0-9]+\.[0-9]+\.[0-9]+ \(.*mpi.*\)$' out || fail "--version"

export HF_HUB_CACHE=hub # for messages about models that are not there
# Every line below: exit code, then the command line; message and code go to the golden.
ln -s "$models/tiny/llama" llama
ln -s "$models/shakespeare" shakespeare
printf GGUF >model.gguf
echo '{"prompt": "hi"}' >in.jsonl
mkdir strange empty
sed -E 's/("hidden_size": *)[0-9]+/\1-3/' llama/config.json >strange/config.json
: >actual
while read -r expected line; do
    [ -n "$line" ] || continue
    eval "sw $line"
    expect "$expected" "$line"
    [ "$(grep -c '^spillway: ' err)" = 1 ] || fail "$line: not one message"
    [ -s out ] && fail "$line: writes to stdout"
    printf '$ spillway %s\n%s\nexit %s\n\n' "$line" "$(sed -E 's/\.[0-9]+\.part/.PID.part/' err)" "$code" >>actual
done <<'LINES'
2 dance
2 run
2 run --wieghts f16 llama hi
2 run -Z llama hi
2 run llama two words
2 plan shakespeare --svg plan.svg
2 run llama --weights
2 run llama --weights int3 hi
2 run llama --weights q8_0,haed=f16 hi
2 run llama --weights q8_0,head=q8 hi
2 run llama --weights q8_0,f16 hi
2 run shakespeare --weights q8_0,experts=f16 hi
2 run llama --kv int8 hi
2 run llama --json=yes hi
2 run llama -n many hi
2 run llama -n -1 hi
2 run llama --context 0 hi
2 run llama --threads 2000 hi
2 run llama --host-memory 5Q hi
2 run shakespeare --context 100000 hi
2 run shakespeare --temperature hot hi
2 run shakespeare --top-p 2 hi
2 run shakespeare --isa sparc hi
2 run shakespeare --slices 1,x hi
2 run shakespeare --slices 3,3 hi
2 run shakespeare --slices 5 hi
2 run shakespeare --objective speed hi
2 run shakespeare --weights-from thin-air hi
2 run shakespeare --stop ROMEO --stop "" hi
2 run shakespeare --stop "$(printf %01025d 0)" hi
2 batch shakespeare in.jsonl out.jsonl --stop ""
2 run shakespeare --timeline "" hi
2 run shakespeare --file ""
2 batch shakespeare in.jsonl out.jsonl --metrics ""
2 trace shakespeare --tokens 1 --dump ""
2 plan shakespeare --cluster "1x(host:4G)" --sbatch=
2 help dance
2 run shakespeare -f prompt.txt hi
3 run shakespeare -f prompt.txt
3 run nowhere hi
3 run org/nowhere hi
3 run org/nowhere@main hi
3 run ./nowhere hi
3 run ollama: hi
2 score llama
2 score llama in.jsonl
2 score llama in.jsonl out.jsonl --windows 2
3 score shakespeare --perplexity in.jsonl
2 compare llama llama
3 compare llama nowhere in.jsonl
2 compare llama llama in.jsonl --base-weights int3
3 run empty hi
3 run llama hi
3 run llama --tokens 1,,2
3 run llama --tokens 1.5
3 run shakespeare ""
3 run strange --tokens 1
4 run shakespeare --host-memory 1M hi
2 trace llama
2 trace llama --tokens "" --dump a.safetensors
3 trace llama --tokens 1,abc --dump a.safetensors
3 trace llama --tokens 1,1000000 --dump a.safetensors
5 trace llama --tokens 1 --dump no/such/folder/a.safetensors
3 inspect nowhere
3 inspect model.gguf
2 inspect
3 tokens llama
2 plan llama
2 plan llama --cluster "1x(host:4G)" --json --svg
2 plan llama --cluster "1x(host:4G)" --svg --sbatch
3 plan llama --cluster "1x(host:fast)"
3 plan nowhere --cluster "1x(host:4G)"
2 bench shakespeare --repeat 1000
2 bench shakespeare -p 300 -n 1
LINES
golden errors.txt

echo '[1, 2' >bad.jsonl
timeout 200 "$spillway" tokens shakespeare --jsonl <bad.jsonl >out 2>err
code=$?
expect 3 "a line that is not JSON"
one_message "a line that is not JSON" "line 1"
finish
