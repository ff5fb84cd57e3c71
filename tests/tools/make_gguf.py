#!/usr/bin/env python3
"""Writes a model's folder of safetensors files as GGUF, as llama.cpp's converter does: its names,
Llama's Q and K permuted, QKV of heads stacked, GPT-2 transposed, experts in one tensor. Standard
library only, so for tiny models.

    make_gguf.py FOLDER OUT.gguf [--matrices f32|f16|q8_0|q4_0] [--split N] [--rope-freqs]
        [--old-experts]
"""
import argparse
import array
import json
import math
import pathlib
import struct

WIDTH = {"F32": 4, "F16": 2, "BF16": 2}
TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}

LLAMA = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "block_sparse_moe.gate": "ffn_gate_inp",
    "mlp.gate": "ffn_gate_inp",
}
EXPERTS = {
    "w1": "ffn_gate_exps", "w3": "ffn_up_exps", "w2": "ffn_down_exps",
    "gate_proj": "ffn_gate_exps", "up_proj": "ffn_up_exps", "down_proj": "ffn_down_exps",
}
NEOX = {
    "gpt_neox.embed_in": "token_embd", "gpt_neox.final_layer_norm": "output_norm",
    "embed_out": "output", "input_layernorm": "attn_norm",
    "attention.query_key_value": "attn_qkv", "attention.dense": "attn_output",
    "post_attention_layernorm": "ffn_norm", "mlp.dense_h_to_4h": "ffn_up",
    "mlp.dense_4h_to_h": "ffn_down",
}
BLOOM = {
    "transformer.word_embeddings": "token_embd",
    "transformer.word_embeddings_layernorm": "token_embd_norm", "transformer.ln_f": "output_norm",
    "input_layernorm": "attn_norm", "self_attention.query_key_value": "attn_qkv",
    "self_attention.dense": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down",
}
GPT2 = {
    "transformer.wte": "token_embd", "transformer.wpe": "position_embd",
    "transformer.ln_f": "output_norm", "ln_1": "attn_norm", "ln_2": "ffn_norm",
    "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
SANDWICH = {**LLAMA, "post_attention_layernorm": "post_attention_norm",
            "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm"}
GLM4 = {**LLAMA, "post_self_attn_layernorm": "post_attention_norm",
        "post_mlp_layernorm": "post_ffw_norm", "mlp.gate_up_proj": "ffn_up"}
STARCODER2 = {**LLAMA, "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
HUNYUAN = {**LLAMA, "self_attn.query_layernorm": "attn_q_norm",
           "self_attn.key_layernorm": "attn_k_norm"}
# model_type: general.architecture, names, beginning of a layer's names
FAMILIES = {
    "llama": ("llama", LLAMA, "model.layers."), "mixtral": ("llama", LLAMA, "model.layers."),
    "qwen2": ("qwen2", LLAMA, "model.layers."), "qwen3": ("qwen3", LLAMA, "model.layers."),
    "qwen3_moe": ("qwen3moe", LLAMA, "model.layers."),
    "gpt_neox": ("gptneox", NEOX, "gpt_neox.layers."), "bloom": ("bloom", BLOOM, "transformer.h."),
    "gpt2": ("gpt2", GPT2, "transformer.h."),
    **{kind: (architecture, names, "model.layers.") for kind, architecture, names in (
        ("gemma", "gemma", LLAMA), ("gemma2", "gemma2", SANDWICH),
        ("gemma3_text", "gemma3", SANDWICH), ("olmo2", "olmo2", SANDWICH),
        ("granite", "granite", LLAMA), ("cohere", "command-r", LLAMA),
        ("cohere2", "cohere2", LLAMA), ("glm4", "glm4", GLM4), ("smollm3", "smollm3", LLAMA),
        ("starcoder2", "starcoder2", STARCODER2), ("exaone4", "exaone4", SANDWICH),
        ("nemotron", "nemotron", LLAMA), ("hunyuan_v1_dense", "hunyuan-dense", HUNYUAN),
        ("ernie4_5", "ernie4_5", LLAMA))},
}
PERMUTED = ("llama", "mixtral", "granite", "smollm3")
PLUS_ONE = ("gemma", "gemma2", "gemma3_text", "nemotron")
# keys of config.json that become keys of the same meaning
SCALARS = {
    "sliding_window": "attention.sliding_window", "rope_local_base_freq": "rope.freq_base_swa",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "attention_multiplier": "attention.scale", "embedding_multiplier": "embedding_scale",
    "residual_multiplier": "residual_scale", "logits_scaling": "logit_scale",
    "logit_scale": "logit_scale",
}


def to_floats(dtype, data):
    if dtype == "BF16":
        data = b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2))
    if dtype == "F16":
        return array.array("f", struct.unpack(f"<{len(data) // 2}e", data))
    return array.array("f", data)


def read_folder(folder):
    """name: (shape, floats)"""
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        if path.name == "expected.safetensors":
            continue
        data = path.read_bytes()
        n = struct.unpack("<Q", data[:8])[0]
        for name, t in json.loads(data[8:8 + n]).items():
            if name != "__metadata__":
                begin, end = t["data_offsets"]
                tensors[name] = (t["shape"], to_floats(t["dtype"], data[8 + n + begin:8 + n + end]))
    return tensors


def rows_of(shape, values):
    cols = math.prod(shape[1:])
    return [values[i * cols:(i + 1) * cols] for i in range(shape[0])]


def joined(rows):
    return array.array("f", b"".join(r.tobytes() for r in rows))


def permuted(rows, heads):
    """Halves of each head become neighbours."""
    dim = len(rows) // heads
    return [rows[h * dim + j * dim // 2 + i]
            for h in range(heads) for i in range(dim // 2) for j in range(2)]


def stacked(rows, heads):
    """q k v of each head become all q, all k, all v."""
    dim = len(rows) // heads // 3
    return [rows[(h * 3 + part) * dim + i]
            for part in range(3) for h in range(heads) for i in range(dim)]


def converted(config, name, shape, values):
    kind = config["model_type"]
    heads = config.get("num_attention_heads", config.get("n_head"))
    if ".attn_qkv." in name and kind in ("gpt_neox", "bloom"):
        return shape, joined(stacked(rows_of(shape, values), heads))
    if kind in PLUS_ONE and name.endswith("norm.weight"):
        return shape, array.array("f", (v + 1 for v in values))
    if kind in PERMUTED and (".attn_q." in name or ".attn_k." in name):
        n = heads if ".attn_q." in name else config.get("num_key_value_heads", heads)
        return shape, joined(permuted(rows_of(shape, values), n))
    if kind == "gpt2" and len(shape) == 2 and name.startswith("blk."):
        rows = rows_of(shape, values)
        return shape[::-1], joined(array.array("f", column) for column in zip(*rows))
    return shape, values


def gguf_name(config, name):
    """The name in GGUF and the expert; None: not stored."""
    _, names, layers = FAMILIES[config["model_type"]]
    stem, _, suffix = name.rpartition(".")
    if suffix not in ("weight", "bias"):
        return None, None
    block, expert = "", None
    if stem.startswith(layers):
        number, _, stem = stem[len(layers):].partition(".")
        block = f"blk.{number}."
    if stem.startswith(("block_sparse_moe.experts.", "mlp.experts.")):
        expert, which = stem.split(".")[-2:]
        return f"{block}{EXPERTS[which]}.{suffix}", int(expert)
    return (f"{block}{names[stem]}.{suffix}", expert) if stem in names else (None, None)


def convert(config, tensors):
    out, experts = {}, {}
    for name, (shape, values) in tensors.items():
        new, expert = gguf_name(config, name)
        if new is None:
            continue
        if expert is not None:
            experts.setdefault(new, {})[expert] = (shape, values)
        else:
            out[new] = converted(config, new, shape, values)
    for name, parts in experts.items():
        out[name] = ([len(parts), *parts[0][0]], joined(parts[i][1] for i in range(len(parts))))
    if config.get("tie_word_embeddings", config["model_type"] in ("bloom", "gpt2")):
        out.pop("output.weight", None)
    return out


def unstacked(tensors):
    """A tensor for each expert, as the converter wrote them before April 2024."""
    out = {}
    for name, (shape, values) in tensors.items():
        if "_exps." not in name:
            out[name] = (shape, values)
            continue
        n = len(values) // shape[0]
        for i in range(shape[0]):
            out[name.replace("_exps.", f".{i}.")] = (shape[1:], values[i * n:(i + 1) * n])
    return out


def rope_freqs(config):
    """Llama 3's scaling, worked out: what each frequency is divided by."""
    rope = config["rope_scaling"]
    dim = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    low = rope["original_max_position_embeddings"] / rope["low_freq_factor"]
    high = rope["original_max_position_embeddings"] / rope["high_freq_factor"]
    out = []
    for i in range(0, dim, 2):
        length = 2 * math.pi * config["rope_theta"] ** (i / dim)
        smooth = ((rope["original_max_position_embeddings"] / length - rope["low_freq_factor"]) /
                  (rope["high_freq_factor"] - rope["low_freq_factor"]))
        out.append(1.0 if length < high else rope["factor"] if length > low
                   else 1 / ((1 - smooth) / rope["factor"] + smooth))
    return array.array("f", out)


# ---- the file

def packed(kind, values):
    if kind == "f16":
        return struct.pack(f"<{len(values)}e", *values)
    if kind == "f32":
        return values.tobytes()
    out = []
    for at in range(0, len(values), 32):
        block = values[at:at + 32]
        if kind == "q8_0":
            scale = struct.unpack("<e", struct.pack("<e", max(map(abs, block)) / 127))[0]
            q = [max(-127, min(127, round(v / scale))) if scale else 0 for v in block]
            out.append(struct.pack("<e32b", scale, *q))
        else:
            scale = struct.unpack("<e", struct.pack("<e", max(block, key=abs) / -8))[0]
            q = [max(0, min(15, round(v / scale) + 8)) if scale else 8 for v in block]
            out.append(struct.pack("<e", scale) + bytes(q[i] | q[i + 16] << 4 for i in range(16)))
    return b"".join(out)


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value_of(value):
    if isinstance(value, bool):
        return struct.pack("<IB", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    return struct.pack("<I", 8) + text(value)


def keys_of(config):
    def first(*names, default=None):
        return next((config[n] for n in names if config.get(n) is not None), default)
    architecture = FAMILIES[config["model_type"]][0]
    hidden = first("hidden_size", "n_embd", "n_embed")
    heads = first("num_attention_heads", "n_head")
    keys = {
        "block_count": first("num_hidden_layers", "n_layer"), "embedding_length": hidden,
        "feed_forward_length": first("intermediate_size", "n_inner", default=4 * hidden),
        "attention.head_count": heads,
        "attention.head_count_kv": first("num_key_value_heads", default=heads),
        "context_length": first("max_position_embeddings", "n_positions", "seq_length"),
        "rope.scaling.type": "none",
    }
    if "rms_norm_eps" in config:
        keys["attention.layer_norm_rms_epsilon"] = config["rms_norm_eps"]
    else:
        keys["attention.layer_norm_epsilon"] = first(
            "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon", "norm_eps")
    if config["model_type"] not in ("bloom", "gpt2"):
        dim = config.get("head_dim", hidden // heads)
        keys["attention.key_length"] = keys["attention.value_length"] = dim
        keys["rope.dimension_count"] = int(
            dim * first("rotary_pct", "partial_rotary_factor", default=1))
        keys["rope.freq_base"] = float(first("rope_theta", "rotary_emb_base", default=10000))
        scaling = config.get("rope_scaling") or {}
        if scaling.get("alpha"):
            keys["rope.freq_base"] *= scaling["alpha"] ** (dim / (dim - 2))
        elif scaling.get("rope_type") == "linear":
            keys |= {"rope.scaling.type": "linear", "rope.scaling.factor": scaling["factor"]}
    keys |= {new: float(config[old]) if old != "sliding_window" else config[old]
             for old, new in SCALARS.items() if config.get(old) is not None}
    if config["model_type"] == "gpt_neox":
        keys["use_parallel_residual"] = config["use_parallel_residual"]
    if "num_experts_per_tok" in config:
        keys["expert_count"] = first("num_local_experts", "num_experts")
        keys["expert_used_count"] = config["num_experts_per_tok"]
    if "moe_intermediate_size" in config:
        keys["expert_feed_forward_length"] = config["moe_intermediate_size"]
    return {"general.architecture": architecture,
            **{f"{architecture}.{k}": v for k, v in keys.items()}}


def write(path, keys, tensors, kind):
    head, data = b"", b""
    for key, value in keys.items():
        head += text(key) + value_of(value)
    for name, (shape, values) in tensors.items():
        own = kind if len(shape) > 1 and shape[-1] % 32 == 0 or kind == "f16" and len(shape) > 1 \
            else "f32"
        head += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape),
                                         TYPES[own], len(data))
        data += packed(own, values)
        data += bytes(-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + head
    path.write_bytes(head + bytes(-len(head) % 32) + data)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--matrices", choices=TYPES, default="f32")
    parser.add_argument("--split", type=int, default=1)
    parser.add_argument("--rope-freqs", action="store_true")
    parser.add_argument("--old-experts", action="store_true", help="a tensor for each expert")
    options = parser.parse_args()
    config = json.loads((options.folder / "config.json").read_text())
    tensors = convert(config, read_folder(options.folder))
    if options.rope_freqs:
        freqs = rope_freqs(config)
        tensors["rope_freqs.weight"] = ([len(freqs)], freqs)
    if options.old_experts:
        tensors = unstacked(tensors)
    keys = keys_of(config)
    if options.split == 1:
        write(options.out, keys, tensors, options.matrices)
        return
    items = list(tensors.items())
    for i in range(options.split):
        part = dict(items[i::options.split])
        own = {**(keys if i == 0 else {}), "split.no": i, "split.count": options.split}
        name = f"{options.out.stem}-{i + 1:05}-of-{options.split:05}.gguf"
        write(options.out.with_name(name), own, part, options.matrices)


if __name__ == "__main__":
    main()
