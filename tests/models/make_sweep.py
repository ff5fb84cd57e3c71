#!/usr/bin/env python3
"""Writes sweep/NAME.jsonl: what transformers makes of tiny/NAME when its config.json is another.

    make_sweep.py OUTPUT_DIRECTORY [NAME…]

Each key of the config is taken away and set to null; each key of every other family is added, with a
value that would change what is computed if the key were read, and some keys are set beside each
other. Of families of after 2023 there are only their own keys, and no nulls that transformers
refuses, as it refuses most. A line is one such config:

    {"drop": KEY} or {"set": {KEY: VALUE, …}}, and of these one:
    "same": true        the logits are those of tiny/NAME/expected.safetensors
    "row": [16 logits]  of the last token: those of the ids i * vocab // 16; with "refused": true
                        where Spillway refuses what transformers runs
    "error": TEXT       transformers cannot load or run it, or lacks weights for it

With "row" come "largest" (magnitude in the whole row) and "best" (the id of the largest logit).
Everything is computed in float32. tests/engine/test_sweep.c compares. Nothing is downloaded.
"""

import argparse
import json
import os
import sys
import tempfile

import torch
from safetensors.torch import load_file

import reference
from tiny_specs import DENSE, HYBRID, ROUTED, SPECS

SAMPLES = 16
SAME = 1e-5
# transformers has a default for these, with which no file here was made: a config must state them.
SIZES = {"n_layer", "num_attention_heads", "num_hidden_layers", "n_head", "hidden_size", "vocab_size"}
# What Spillway says it does not do: keys, and keys of one checkpoint (there transformers turns a
# third element of a head alone, computes frequencies for heads that the model does not have, scales
# rope for texts that the file does not speak of, or takes experts of groups that are left out).
REFUSED = {
    ("glm4_moe", "partial_rotary_factor"),
    ("gpt_neox", "head_dim"),
    ("gpt_neox_sequential", "rotary_pct"),
    ("gemma4", "rope_parameters"),
    ("gemma4_e", "rope_parameters"),
    ("gemma4_moe", "rope_parameters"),
    ("gpt_oss", "rope_scaling"),
    ("mistral4", "num_experts_per_tok"),
    ("mistral4", "rope_parameters"),
    ("qwen3_5", "rope_parameters"),
    ("qwen3_5_moe", "rope_parameters"),
    ("qwen3_next", "partial_rotary_factor"),
    "add_cross_attention",
    "layer_norm_elementwise_affine",
    "scale_attn_by_inverse_layer_idx",
    "scale_attn_weights",
}

# Values for keys that are not the family's: none of them is what the models do anyway.
ALTERNATING = ["full_attention", "sliding_attention"] * 8
FOREIGN = {
    "activation_function": "relu",
    "add_cross_attention": True,
    "apply_residual_connection_post_layernorm": True,
    "attention_bias": True,
    "decoder_sparse_step": 2,
    "do_layer_norm_before": False,
    "enable_bias": False,
    "ffn_dim": 24,
    "head_dim": 4,
    "hidden_act": "relu",
    "hidden_size": 24,
    "intermediate_size": 24,
    "layer_norm_elementwise_affine": False,
    "layer_norm_eps": 0.1,
    "layer_norm_epsilon": 0.1,
    "layer_types": ALTERNATING,
    "max_position_embeddings": 40,
    "max_window_layers": 1,
    "mlp_bias": True,
    "mlp_only_layers": [0],
    "moe_intermediate_size": 24,
    "n_ctx": 40,
    "n_embd": 24,
    "n_embed": 24,
    "n_head": 2,
    "n_inner": 24,
    "n_layer": 1,
    "n_positions": 40,
    "norm_topk_prob": True,
    "num_attention_heads": 2,
    "num_experts": 4,
    "num_experts_per_tok": 1,
    "num_hidden_layers": 1,
    "num_key_value_heads": 1,
    "num_local_experts": 4,
    "original_max_position_embeddings": 8,
    "partial_rotary_factor": 0.5,
    "rms_norm_eps": 0.1,
    "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 300.0},
    "rope_scaling": {"rope_type": "linear", "factor": 3.0},
    "rope_theta": 300.0,
    "rotary_dim": 2,
    "rotary_emb_base": 300,
    "rotary_pct": 0.5,
    "scale_attn_by_inverse_layer_idx": True,
    "scale_attn_weights": False,
    "sliding_window": 5,
    "tie_word_embeddings": True,
    "use_parallel_residual": False,
    "use_sliding_window": True,
    "word_embed_proj_dim": 24,
    "_remove_final_layer_norm": True,
}

DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 300.0}
LINEAR = {"type": "linear", "factor": 3.0}
LLAMA3 = {
    "factor": 8.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 16,
    "rope_type": "llama3",
}
WINDOW = {"use_sliding_window": True, "sliding_window": 5}

# Keys beside each other, and second values.
BESIDE = {
    "bloom": [{"hidden_size": 24}, {"n_head": 6, "num_attention_heads": 4}],
    "gpt2": [
        {"scale_attn_weights": False},
        {"scale_attn_by_inverse_layer_idx": True},
        {"n_inner": 120},
        {"num_attention_heads": 5},
        {"reorder_and_upcast_attn": True},
    ],
    "gpt_neox": [
        {"rope_scaling": LINEAR},
        {"rope_scaling": LINEAR, "rope_theta": 300.0},
        {"rope_parameters": DEFAULT_ROPE},
        {"attention_bias": False},
        {"attention_bias": True},
        {"tie_word_embeddings": True},
    ],
    "gpt_neox_v5": [
        {"rope_scaling": LINEAR},
        {"rotary_emb_base": 300, "rotary_pct": 0.5},
        {"rope_parameters": {"rope_type": "default"}},
        {"rope_parameters": {"rope_type": "default"}, "rotary_emb_base": 300, "rotary_pct": 0.5},
    ],
    "gptj": [{"tie_word_embeddings": True}, {"num_attention_heads": 2}, {"rotary_dim": 10}, {"n_inner": 200}],
    "llama": [
        {"tie_word_embeddings": True},
        {"rope_scaling": LINEAR, "rope_parameters": DEFAULT_ROPE},
        {"rope_scaling": {}, "rope_parameters": DEFAULT_ROPE},
        {"rope_scaling": LINEAR | {"rope_theta": 300.0}},
        {"rope_theta": 300.0, "rope_parameters": {"rope_type": "default"}},
        {"rope_theta": 500.0, "rope_parameters": DEFAULT_ROPE},
        {"rope_scaling": {key: LLAMA3[key] for key in LLAMA3 if key != "original_max_position_embeddings"}},
        {"rope_scaling": LLAMA3 | {"type": "linear"}},
        {"rope_scaling": {"type": "default", "factor": 3.0}},
        {"rope_scaling": {"factor": 3.0}},
        {"sliding_window": 5, "layer_types": ["sliding_attention"] * 3},
        WINDOW | {"max_window_layers": 0},
    ],
    "llama31": [
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
        {"rope_parameters": None},
        {"rope_parameters": {}},
        {"original_max_position_embeddings": 64},
        {"tie_word_embeddings": False},
    ],
    "mistral": [
        {"use_sliding_window": False},
        {"max_window_layers": 2},
        {"sliding_window": 5},
        {"layer_types": ["full_attention"] * 3},
        {"layer_types": ["full_attention", "sliding_attention", "full_attention"]},
    ],
    "mixtral": [
        {"tie_word_embeddings": True},
        {"sliding_window": 5},
        {"sliding_window": 5, "use_sliding_window": False},
        {"rope_scaling": LINEAR},
        {"num_experts": 4},
        {"norm_topk_prob": False},
    ],
    "opt": [{"tie_word_embeddings": False}, {"enable_bias": True}],
    "qwen2": [
        WINDOW,
        WINDOW | {"max_window_layers": 1},
        {"layer_types": ["full_attention", "sliding_attention", "full_attention"]},
        WINDOW | {"layer_types": ["full_attention", "sliding_attention", "full_attention"]},
        {"tie_word_embeddings": False},
    ],
    "qwen2_window": [
        {"layer_types": ["sliding_attention", "full_attention", "full_attention"]},
        {"use_sliding_window": False},
    ],
    "qwen3": [WINDOW | {"max_window_layers": 1}, WINDOW | {"max_window_layers": 0}, {"mlp_bias": True}],
    "qwen3_v5": [
        {"rope_theta": 300.0},
        {"rope_scaling": LINEAR},
        WINDOW | {"layer_types": ["full_attention", "sliding_attention", "sliding_attention"]},
    ],
    "qwen3_moe": [
        WINDOW,
        WINDOW | {"max_window_layers": 2},
        WINDOW | {"layer_types": ["full_attention"] * 3},
        {"num_local_experts": 7},
        {"mlp_only_layers": None},
        {"mlp_only_layers": [0]},
        {"decoder_sparse_step": 2},
    ],
}
# One of each family gets the keys of the others.
FAMILIES = ["bloom", "gpt2", "gpt_neox", "gptj", "llama", "mistral", "mixtral", "opt", "qwen2", "qwen3", "qwen3_moe"]
NEWER = {spec["name"] for spec in DENSE + ROUTED + HYBRID}
NO_KEYS = {"model_type", "architectures"}


def foreign_keys(config):
    keys = FOREIGN | {}
    for spec in SPECS:
        for key, value in spec["config"].items():
            keys.setdefault(key, value)
    return {key: value for key, value in sorted(keys.items()) if key not in config and key not in NO_KEYS}


def cut(key, value, config):
    layers = config.get("num_hidden_layers", config.get("n_layer"))
    return value[:layers] if key == "layer_types" else value


def changes_of(name, config):
    for key in sorted(config):
        yield {"drop": key}
        if config[key] is not None:
            yield {"set": {key: None}}
    if name in FAMILIES:
        for key, value in foreign_keys(config).items():
            yield {"set": {key: cut(key, value, config)}}
            yield {"set": {key: None}}
    for change in BESIDE.get(name, []):
        yield {"set": change}


def is_refused(name, change):
    keys = set(change.get("set", {})) | ({change["drop"]} if "drop" in change else set())
    return change.get("drop") in SIZES or any(key in REFUSED or (name, key) in REFUSED for key in keys)


def answer(model_dir, config, ids, base, attention):
    with tempfile.TemporaryDirectory() as scratch:
        for file in os.listdir(model_dir):
            if file not in ("config.json", "expected.safetensors"):
                os.symlink(os.path.join(os.path.abspath(model_dir), file), os.path.join(scratch, file))
        with open(os.path.join(scratch, "config.json"), "w", encoding="utf-8") as f:
            json.dump(config, f)
        try:
            model, info = reference.load(scratch, attention)
            lacking = sorted(set(info["missing_keys"]) | {str(m) for m in info["mismatched_keys"]})
            if lacking:
                return {"error": f"{len(lacking)} weights are not there: {lacking[0]}"}
            logits = reference.logits_of(model, ids)
        except Exception as e:
            text = f"{type(e).__name__}: {e}".replace(scratch, "DIR")
            return {"error": " ".join(text.split())[:90]}
    if logits.shape == base.shape and (logits - base).abs().max() <= SAME * base.abs().max():
        return {"same": True}
    last = logits[-1]
    row = [float(f"{last[i * len(last) // SAMPLES]:.6g}") for i in range(SAMPLES)]
    return {"row": row, "largest": float(f"{last.abs().max():.6g}"), "best": int(last.argmax())}


def sweep(spec, tiny, path):
    model_dir = os.path.join(tiny, spec["name"])
    expected = load_file(os.path.join(model_dir, "expected.safetensors"))
    ids, seen, counts = expected["input_ids"].tolist(), set(), {}
    with open(os.path.join(model_dir, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    with open(path, "w", encoding="utf-8") as f:
        for change in changes_of(spec["name"], config):
            text = json.dumps(change)
            if text in seen:
                continue
            seen.add(text)
            changed = {key: value for key, value in config.items() if key != change.get("drop")}
            result = answer(model_dir, changed | change.get("set", {}), ids, expected["logits"], spec.get("attention", "eager"))
            if "error" in result and spec["name"] in NEWER and None in change.get("set", {}).values():
                continue
            if "row" in result and is_refused(spec["name"], change):
                result = {"refused": True} | result
            f.write(json.dumps(change | result, separators=(",", ":")) + "\n")
            f.flush()
            kind = next(iter(result))
            counts[kind] = counts.get(kind, 0) + 1
    print(spec["name"], counts, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("directory")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    tiny = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tiny")
    known = {spec["name"] for spec in SPECS}
    for name in set(args.names) - known:
        sys.exit(f"no row {name}; there are {', '.join(sorted(known))}")
    os.makedirs(args.directory, exist_ok=True)
    print(reference.versions())
    for spec in SPECS:
        if not args.names or spec["name"] in args.names:
            sweep(spec, tiny, os.path.join(args.directory, spec["name"] + ".jsonl"))


if __name__ == "__main__":
    main()
