#!/usr/bin/env python3
"""Writes tiny DeepSeek checkpoints (latent attention, experts) with quantized matrices, and what transformers answers.

    make_quantized_latent.py [NAME ...]

tests/models/quantized/mla_METHOD/ has what make_quantized.py says of its own. Every linear matrix is quantized, kv_b_proj,
too, which is read by head and half turned; not the router. A head's rows of it begin within tiles of fp8, within words of AWQ,
and within blocks of bitsandbytes where the latent is no whole blocks. Experts are single matrices, as published.

Needs torch, transformers, safetensors, accelerate and bitsandbytes. Nothing is downloaded.
"""

import json
import os
import sys
import tempfile

import bitsandbytes.functional as bnb
import torch
from safetensors.torch import load_file, save_file
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM, DeepseekV3Config, DeepseekV3ForCausalLM

import make_grouped
import make_quantized

HERE = os.path.dirname(os.path.abspath(__file__))
YARN = {"type": "yarn", "factor": 4.0, "beta_fast": 4.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 32}
SHAPE = {"vocab_size": 61, "hidden_size": 64, "intermediate_size": 96, "moe_intermediate_size": 32, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 4, "kv_lora_rank": 64, "q_lora_rank": 32, "qk_nope_head_dim": 12,
         "qk_rope_head_dim": 8, "v_head_dim": 16, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1,
         "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1, "norm_topk_prob": True, "routed_scaling_factor": 2.5,
         "max_position_embeddings": 128, "rope_theta": 10000.0, "rope_scaling": YARN, "tie_word_embeddings": False,
         "rms_norm_eps": 1e-6, "hidden_act": "silu"}
V3 = (DeepseekV3Config, DeepseekV3ForCausalLM, {"topk_method": "noaux_tc", "scoring_func": "sigmoid"})
LITE = (DeepseekV2Config, DeepseekV2ForCausalLM,
        {"q_lora_rank": None, "n_group": 1, "topk_method": "greedy", "scoring_func": "softmax", "norm_topk_prob": False,
         "routed_scaling_factor": 1.0})


# ---- one matrix: its tensors and its dequantized values


def fp8(name, w):
    tile = make_quantized.tile_scale(w, 128, 128)
    codes = (w / make_quantized.spread(tile, w.shape, 128, 128)).clamp(-448, 448).to(torch.float8_e4m3fn)
    parts = {name: codes, name + "_scale_inv": tile}
    return parts, make_quantized.decode_fp8(128, 128, "_scale_inv")(parts, name)


def four_bit(name, w):
    codes, state = bnb.quantize_4bit(w.bfloat16(), blocksize=64, compress_statistics=True, quant_type="nf4")
    parts = {name: codes} | {f"{name}.{k}": v for k, v in state.as_dict(packed=True).items()}
    state.dtype, state.shape = torch.float32, torch.Size([1, w.numel()])  # its AVX-512 code takes a row for whole blocks
    return parts, bnb.dequantize_4bit(codes, state).reshape(w.shape)


def int8(name, w):
    codes, scale, _ = bnb.int8_vectorwise_quant(w.half())
    parts = {name: codes, name[:-len("weight")] + "SCB": scale}
    return parts, make_quantized.decode_int8(parts, name)


def grouped(pack, shuffled):
    def quantize(name, w):
        order = make_grouped.order_seed(name[:-len(".weight")]) if shuffled else None
        of = make_grouped.groups_of(w.shape[1], 32, order)
        parts = make_grouped.quantize(w, 4, 32, of, False, torch.float16)
        return pack(name[:-len(".weight")], *parts, of), make_grouped.dequantized(*parts, of)
    return quantize


SPECS = {  # family, shape, method, config
    "mla_fp8": (V3, {"hidden_size": 136, "kv_lora_rank": 136, "q_lora_rank": 40, "num_attention_heads": 5, "num_key_value_heads": 5,
                     "qk_nope_head_dim": 24, "v_head_dim": 20}, fp8,
                {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [128, 128]}),
    "mla_gptq": (LITE, {}, grouped(lambda *p: make_grouped.gptq(*p, 4), True),
                 {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": True, "sym": False, "checkpoint_format": "gptq"}),
    "mla_awq": (V3, {"v_head_dim": 18, "num_attention_heads": 8, "num_key_value_heads": 8, "qk_nope_head_dim": 11}, grouped(make_grouped.awq, False),
                {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm",
                 "modules_to_not_convert": None}),
    "mla_nf4": (V3, {"q_lora_rank": 64}, four_bit, {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False,
                                                  "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True,
                                                  "bnb_4bit_compute_dtype": "bfloat16"}),
    "mla_nf4_odd": (LITE, {"kv_lora_rank": 48}, four_bit,
                    {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": "nf4",
                     "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "bfloat16"}),
    "mla_int8": (V3, {}, int8, {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": True}),
}


def is_linear(name, tensor):
    return tensor.ndim == 2 and "embed" not in name and "lm_head" not in name and not name.endswith("mlp.gate.weight")


def saved(model):
    """What transformers writes of it: experts as single matrices."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        with open(os.path.join(folder, "config.json")) as f:
            return load_file(os.path.join(folder, "model.safetensors")), json.load(f)


@torch.no_grad()
def logits_of(kind, root, state, ids):
    with tempfile.TemporaryDirectory() as folder:
        save_file(state, os.path.join(folder, "model.safetensors"), {"format": "pt"})
        with open(os.path.join(folder, "config.json"), "w") as f:
            json.dump(root, f)
        model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager")
    return model.eval()(ids[None]).logits[0].contiguous()


def make(name):
    (config, kind, own), shape, method, quantization = SPECS[name]
    torch.manual_seed(18)
    stated = SHAPE | own | shape
    model = kind(config(**stated))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(1 + 0.1 * torch.randn_like(p) if p.ndim == 1 else 0.8 * torch.randn_like(p) / p.shape[-1]**0.5)
        for layer in model.model.layers[1:]:
            layer.mlp.gate.weight.mul_(4)  # so that rounding chooses no other expert
    source, root = saved(model.half())
    tensors, state, result = {}, {}, {}
    for key, value in source.items():
        tensors[key], state[key] = value, value.float()
        if is_linear(key, value):
            del tensors[key]
            parts, state[key] = method(key, value.float())
            tensors |= {k: v.contiguous() for k, v in parts.items()}
            result["digest." + key] = make_quantized.digest(state[key])
    out = os.path.join(HERE, "quantized", name)
    os.makedirs(out, exist_ok=True)
    save_file(tensors, os.path.join(out, "model.safetensors"), {"format": "pt"})
    kept = {k: v for k, v in stated.items() if v is not None}
    published = {"architectures": root["architectures"], "model_type": root["model_type"], "torch_dtype": "float16"} | stated
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(published | {"quantization_config": quantization}, f, indent=2)
        f.write("\n")
    ids = torch.randint(3, kept["vocab_size"], (23,))
    result |= {"input_ids": ids, "logits": logits_of(kind, published, state, ids)}
    save_file(result, os.path.join(out, "expected.safetensors"))
    print(name, sum(os.path.getsize(os.path.join(out, f)) for f in os.listdir(out)), "bytes")


if __name__ == "__main__":
    for each in sys.argv[1:] or SPECS:
        make(each)
