#!/usr/bin/env python3
"""Writes layers of Llama-3.1-405B's shape as bitsandbytes publishes them (nf4, nested absmax), with
random numbers: a folder for tests of layers from disk at true width.

    make_wide.py OUT LAYERS [DIVISOR]    DIVISOR: of all widths (1: 1.7 GB a layer)
"""
import json
import os
import random
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "models")
BLOCK, NESTED = 64, 256
VOCAB = 256
NOISE = random.Random(405).randbytes(1 << 24)


def nested_map():
    """The map of nested absmax, as bitsandbytes wrote it into a small model."""
    with open(os.path.join(MODELS, "quantized", "nf4", "model.safetensors"), "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(size))
        maps = {}
        for name in ("nested_quant_map", "quant_map"):
            at = header["model.layers.0.mlp.up_proj.weight." + name]["data_offsets"]
            f.seek(8 + size + at[0])
            maps[name] = f.read(at[1] - at[0])
    return maps


def noise(n, at):
    """n random bytes in pieces; other ones for other `at`."""
    at %= len(NOISE)
    while n > 0:
        piece = NOISE[at:at + n]
        yield piece
        n -= len(piece)
        at = 0


class Writer:
    def __init__(self):
        self.header, self.parts, self.at = {"__metadata__": {"format": "pt"}}, [], 0

    def add(self, name, dtype, shape, size, parts):
        self.header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [self.at, self.at + size]}
        self.parts.append(parts)
        self.at += size

    def floats(self, name, values):
        data = struct.pack("<%df" % len(values), *values)
        self.add(name, "F32", [len(values)], len(data), [data])

    def plain(self, name, rows, cols):
        values = [(b - 128) / 4096 for b in NOISE[:rows * cols]]
        data = struct.pack("<%df" % len(values), *values)
        self.add(name, "F32", [rows, cols], len(data), [data])

    def nf4(self, name, rows, cols, maps):
        n = rows * cols
        state = {"quant_type": "nf4", "blocksize": BLOCK, "dtype": "bfloat16", "shape": [rows, cols],
                 "nested_blocksize": NESTED, "nested_dtype": "float32", "nested_offset": 0.012}
        text = json.dumps(state).encode()
        self.add(name, "U8", [n // 2, 1], n // 2, noise(n // 2, self.at))
        self.add(name + ".absmax", "U8", [n // BLOCK], n // BLOCK, noise(n // BLOCK, self.at))
        self.floats(name + ".nested_absmax", [0.01] * -(-n // BLOCK // NESTED))
        for key, length in (("nested_quant_map", 256), ("quant_map", 16)):
            self.add(name + "." + key, "F32", [length], 4 * length, [maps[key]])
        self.add(name + ".quant_state.bitsandbytes__nf4", "U8", [len(text)], len(text), [text])

    def write(self, path):
        header = json.dumps(self.header).encode()
        header += b" " * (-len(header) % 8)
        with open(path, "wb") as f:
            f.write(struct.pack("<Q", len(header)) + header)
            for parts in self.parts:
                for part in parts:
                    f.write(part)


def main(out, layers, divisor=1):
    hidden, ffn, heads, kv = 16384 // divisor, 53248 // divisor, 128 // divisor, max(1, 8 // divisor)
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": hidden,
              "intermediate_size": ffn, "num_hidden_layers": layers, "num_attention_heads": heads,
              "num_key_value_heads": kv, "vocab_size": VOCAB, "max_position_embeddings": 256,
              "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "torch_dtype": "bfloat16",
              "tie_word_embeddings": False,
              "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True,
                                      "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True,
                                      "bnb_4bit_compute_dtype": "bfloat16"}}
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        with open(os.path.join(MODELS, "shakespeare", name), "rb") as f, \
                open(os.path.join(out, name), "wb") as to:
            to.write(f.read())
    w, maps = Writer(), nested_map()
    w.plain("model.embed_tokens.weight", VOCAB, hidden)
    for i in range(layers):
        base = "model.layers.%d." % i
        for name in ("input_layernorm", "post_attention_layernorm"):
            w.floats(base + name + ".weight", [1.0] * hidden)
        for name, rows, cols in (("self_attn.q_proj", hidden, hidden),
                                 ("self_attn.k_proj", kv * 128, hidden),
                                 ("self_attn.v_proj", kv * 128, hidden),
                                 ("self_attn.o_proj", hidden, hidden), ("mlp.gate_proj", ffn, hidden),
                                 ("mlp.up_proj", ffn, hidden), ("mlp.down_proj", hidden, ffn)):
            w.nf4(base + name + ".weight", rows, cols, maps)
    w.floats("model.norm.weight", [1.0] * hidden)
    w.plain("lm_head.weight", VOCAB, hidden)
    w.write(os.path.join(out, "model.safetensors"))


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(sys.argv[1], *map(int, sys.argv[2:]))
