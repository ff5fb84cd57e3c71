#!/usr/bin/env python3
"""Writes tiny checkpoints in the forms in which quantized ones are published, and what transformers answers.

    make_quantized.py [NAME ...]

tests/models/quantized/NAME/: config.json and model.safetensors, which transformers with bitsandbytes has saved
where there is such a method, else as the method's own files are; and expected.safetensors:

- input_ids (n) i64, logits (n, vocab) f32: by transformers in float32, plain attention, of the dequantized weights;
- digest.NAME (1) i64 of each quantized matrix: the sum of the bits of its dequantized f32 values, each times
  2 * its index + 1, modulo 2^64. By bitsandbytes' own functions, for fp8 element * scale in f32.

Needs torch, transformers, safetensors, accelerate and bitsandbytes. Nothing is downloaded.
"""

import json
import os
import sys
import tempfile

import bitsandbytes.functional as bnb
import numpy
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", ".SCB", ".weight_format", "_scale",
         "_scale_inv")


def model_of(hidden, inner):
    torch.manual_seed(12)
    config = LlamaConfig(vocab_size=61, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
                         tie_word_embeddings=False, initializer_range=0.05)
    return LlamaForCausalLM(config).bfloat16().eval()


def linears(model):
    return {n + ".weight": m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n != "lm_head"}


# ---- bitsandbytes


def save_bitsandbytes(model, out, config):
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        made = AutoModelForCausalLM.from_pretrained(folder, device_map={"": "cpu"}, dtype=torch.bfloat16,
                                                    quantization_config=config)
    made.save_pretrained(out)


def decode_four_bit(tensors, name):
    state = next(k for k in tensors if k.startswith(name + ".quant_state."))
    parts = {k[len(name) + 1:]: v for k, v in tensors.items() if k.startswith(name + ".")}
    parts = {k: v for k, v in parts.items()}
    assert state
    made = bnb.QuantState.from_dict(parts, device=torch.device("cpu"))
    made.dtype = torch.float32
    return bnb.dequantize_4bit(tensors[name], made)


def decode_int8(tensors, name):
    # bitsandbytes never multiplies a weight by itself: its product's scale is SCB / 127 of the row
    scale = tensors[name[:-len("weight")] + "SCB"] / 127
    return tensors[name].float() * scale[:, None]


# ---- fp8


def tile_scale(w, rows, cols):
    n, k = w.shape
    grid = torch.empty(-(-n // rows), -(-k // cols))
    for i in range(grid.shape[0]):
        for j in range(grid.shape[1]):
            grid[i, j] = w[i * rows:(i + 1) * rows, j * cols:(j + 1) * cols].abs().max() / 448
    return grid


def spread(scale, shape, rows, cols):
    return scale.repeat_interleave(rows, 0)[:shape[0]].repeat_interleave(cols, 1)[:, :shape[1]]


def save_fp8(model, out, quantization, rows, cols, suffix, dtype=torch.float32, shape=None, extra=()):
    tensors = {k: v.clone() for k, v in model.state_dict().items()}
    for name in linears(model):
        w = tensors[name].float()
        r, c = rows or w.shape[0], cols or w.shape[1]
        scale = tile_scale(w, r, c).to(dtype)
        tensors[name] = (w / spread(scale.float(), w.shape, r, c)).clamp(-448, 448).to(torch.float8_e4m3fn)
        tensors[name + suffix] = scale.reshape(shape) if shape is not None else scale
        for more in extra:
            tensors[name[:-len("weight")] + more] = torch.ones(1)
    os.makedirs(out, exist_ok=True)
    save_file(tensors, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
    config = json.loads(model.config.to_json_string(use_diff=False)) | {"quantization_config": quantization}
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(config, f, indent=2)
        f.write("\n")


def decode_fp8(rows, cols, suffix):
    def decode(tensors, name):
        w, scale = tensors[name].float(), tensors[name + suffix].float()
        r, c = rows or w.shape[0], cols or w.shape[1]
        return w * spread(scale.reshape(-(-w.shape[0] // r), -1), w.shape, r, c)
    return decode


def four_bit(kind, nested):
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_use_double_quant=nested)


SPECS = {
    "nf4": (128, 192, lambda m, out: save_bitsandbytes(m, out, four_bit("nf4", True)), decode_four_bit),
    "nf4_plain": (128, 192, lambda m, out: save_bitsandbytes(m, out, four_bit("nf4", False)), decode_four_bit),
    "nf4_odd": (96, 128, lambda m, out: save_bitsandbytes(m, out, four_bit("nf4", True)), decode_four_bit),
    "fp4": (128, 192, lambda m, out: save_bitsandbytes(m, out, four_bit("fp4", True)), decode_four_bit),
    "int8": (96, 128, lambda m, out: save_bitsandbytes(m, out, BitsAndBytesConfig(load_in_8bit=True)), decode_int8),
    "fp8_tile": (160, 192,
                 lambda m, out: save_fp8(m, out, {"quant_method": "fp8", "activation_scheme": "dynamic",
                                                  "weight_block_size": [128, 128]}, 128, 128, "_scale_inv"),
                 decode_fp8(128, 128, "_scale_inv")),
    "fp8_row": (96, 128,
                lambda m, out: save_fp8(m, out, {"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0,
                                                 "modules_to_not_convert": ["lm_head"]}, 1, 0, "_scale",
                                        dtype=torch.bfloat16),
                decode_fp8(1, 0, "_scale")),
    "fp8_tensor": (96, 128,
                   lambda m, out: save_fp8(m, out, {"quant_method": "fp8", "activation_scheme": "static",
                                                    "ignored_layers": ["lm_head"]}, 0, 0, "_scale", shape=[],
                                           extra=["input_scale"]),
                   decode_fp8(0, 0, "_scale")),
}


def digest(values):
    bits = values.contiguous().numpy().view(numpy.uint32).reshape(-1).astype(numpy.uint64)
    with numpy.errstate(over="ignore"):
        total = (bits * (2 * numpy.arange(len(bits), dtype=numpy.uint64) + 1)).sum(dtype=numpy.uint64)
    return torch.tensor([int(total) - (1 << 64 if int(total) >= 1 << 63 else 0)], dtype=torch.int64)


@torch.no_grad()
def expected(model, out, decode):
    tensors = load_file(os.path.join(out, "model.safetensors"))
    plain = LlamaForCausalLM(model.config).float().eval()
    plain.set_attn_implementation("eager")
    names, state, result = linears(model), {}, {}
    for name, value in tensors.items():
        if name in names:
            state[name] = decode(tensors, name)
            result["digest." + name] = digest(state[name])
        elif not name.endswith(PARTS) and ".quant_state." not in name and "input_scale" not in name:
            state[name] = value.float()
    plain.load_state_dict(state)
    torch.manual_seed(3)
    ids = torch.randint(3, model.config.vocab_size, (23,))
    result["input_ids"] = ids
    result["logits"] = plain(ids[None]).logits[0].contiguous()
    save_file(result, os.path.join(out, "expected.safetensors"))


def main():
    for name in sys.argv[1:] or SPECS:
        hidden, inner, save, decode = SPECS[name]
        model, out = model_of(hidden, inner), os.path.join(HERE, "quantized", name)
        save(model, out)
        if os.path.exists(os.path.join(out, "generation_config.json")):
            os.remove(os.path.join(out, "generation_config.json"))
        expected(model, out, decode)
        print(name, sum(os.path.getsize(os.path.join(out, f)) for f in os.listdir(out)), "bytes")


if __name__ == "__main__":
    main()
