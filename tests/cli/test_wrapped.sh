#!/bin/bash
# Models that also see: config.json's part for text lies in text_config, and the names of its tensors
# have a prefix, in either of two ways. They give the bits of the same checkpoint without wrapper.
# $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"
command -v python3 >/dev/null || { echo "skipped: no python3 to write checkpoints with"; exit 77; }
tokens=3,1,4,1,5,9,2,6,5,3,5

# wrap FOLDER OUTER hub|v5|stacked OUT: transformers 4 put "language_model." before all names, and the hub's
# files have it; transformers 5 puts it behind "model.", and leaves the head where it was. "stacked" is
# the same with a layer's experts in two tensors, as Qwen3.5's files have them. Beside the text there
# is something of the images.
wrap() {
    python3 - "$@" <<'P'
import json, pathlib, struct, sys
folder, outer, way, out = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4])
out.mkdir()
text = json.loads((folder / "config.json").read_text())
config = {"model_type": outer, "text_config": text, "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 8}}
for key in ("torch_dtype", "tie_word_embeddings"):
    if key in text:
        config[key] = text.pop(key)
text.pop("architectures")
(out / "config.json").write_text(json.dumps(config))
data = (folder / "model.safetensors").read_bytes()
n = struct.unpack("<Q", data[:8])[0]
tensors = {name: (t["dtype"], t["shape"], data[8 + n:][slice(*t["data_offsets"])])
           for name, t in json.loads(data[8:8 + n]).items() if name != "__metadata__"}

def stack(layer, parts):
    """Of each expert its parts, one below the other."""
    names = [[f"{layer}.{e}.{part}.weight" for part in parts] for e in range(len(tensors)) if f"{layer}.{e}.{parts[0]}.weight" in tensors]
    dtype, (rows, cols), _ = tensors[names[0][0]]
    return dtype, [len(names), rows * len(parts), cols], b"".join(tensors.pop(name)[2] for expert in names for name in expert)

for layer in {name.split(".0.gate_proj")[0] for name in tensors if ".experts.0.gate_proj" in name} if way == "stacked" else ():
    tensors[layer + ".gate_up_proj"] = stack(layer, ["gate_proj", "up_proj"])
    tensors[layer + ".down_proj"] = stack(layer, ["down_proj"])
tensors["vision_tower.embeddings.weight"] = "F32", [2, 2], bytes(16)
header, body = {}, b""
for name, (dtype, shape, part) in tensors.items():
    if not name.startswith("vision"):
        name = "language_model." + name if way == "hub" else name.replace("model.", "model.language_model.", 1)
    header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(part)]}
    body += part
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
(out / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
P
}

for row in gemma3:gemma3 gemma4:gemma4 ministral3:mistral3 llama4:llama4 qwen3_5:qwen3_5 qwen3_5_moe:qwen3_5_moe; do
    name=${row%:*} outer=${row#*:}
    sw trace "$models/tiny/$name" -w f32 --tokens $tokens --dump plain.safetensors --hidden
    expect 0 "$name as it is"
    for way in hub v5 stacked; do
        [ $way != stacked ] || [ $name = qwen3_5_moe ] || continue
        wrap "$models/tiny/$name" "$outer" $way wrapped
        sw trace wrapped -w f32 --tokens $tokens --dump wrapped.safetensors --hidden
        expect 0 "$name within $outer, $way"
        cmp plain.safetensors wrapped.safetensors || fail "$name within $outer, $way: other bits"
        ! grep -q "not read" err || fail "$name within $outer, $way: a warning"
        rm -r wrapped
    done
done
finish
