#!/usr/bin/env python3
"""Writes the tiny random checkpoints of tests/models/tiny and what transformers answers for them.

    make_reference.py OUTPUT_DIRECTORY [NAME…]

Every row of tiny_specs.py becomes OUTPUT_DIRECTORY/NAME: config.json as the hub's files of that
family read, random weights in one of the forms found there, and expected.safetensors computed by
transformers in float32 from these very files. A seed is searched for which the greedy
continuation varies and no step of it is a near tie. Nothing is downloaded.
"""

import argparse
import json
import os
import shutil
import struct
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

import reference
from tiny_specs import SPECS

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
PROMPT_TOKENS = 31
SHARDS = 3
MAX_BYTES = 300_000
# The greedy continuation must hold at least this many different ids, its second half half of them.
MIN_DISTINCT = 16
# A change listed under "matters" must move some logit by this share of the largest one.
MIN_EFFECT = 0.02
SEEDS = 400


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2, sort_keys=True)
        f.write("\n")


def shapes_of(directory):
    """Name to shape as transformers itself saves a model of this config."""
    model = reference.class_of(directory)._from_config(AutoConfig.from_pretrained(directory))
    with tempfile.TemporaryDirectory() as scratch:
        model.float().save_pretrained(scratch)
        saved = load_file(os.path.join(scratch, "model.safetensors"))
    return {name: tuple(t.shape) for name, t in sorted(saved.items())}


def random_weights(shapes, tied, scale, dtype, seed):
    """Exactly representable in `dtype`. Large enough that attention is sharp and logits spread."""
    g = torch.Generator().manual_seed(seed)
    out = {}
    for name, shape in shapes.items():
        t = torch.randn(shape, generator=g)
        if "norm" in name or ".ln_" in name or "transformer.ln_f" in name:
            t = 1 + 0.3 * t if name.endswith("weight") else 0.2 * t
        elif len(shape) == 1:
            t = 0.3 * t
        elif any(part in name for part in ("embed", "wte", "wpe")) and "embed_out" not in name:
            # A tied head favours the token just read; a smaller embedding lets the layers speak.
            t = t * (0.4 if tied else 1.0)
        else:
            fan_in = shape[0] if ".c_" in name else shape[1]
            t = t * (1.6 / fan_in**0.5)
        for part, factor in scale.items():
            t = t * factor if part in name else t
        out[name] = t.to(dtype)
    return out


E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])


def is_mxfp4(spec, name):
    return spec.get("mxfp4") and name.endswith(("experts.gate_up_proj", "experts.down_proj"))


def mxfp4_codes(stack):
    """(experts, in, out) as codes (experts, out, blocks, 32) and exponents (experts, out, blocks)."""
    blocks = stack.float().transpose(1, 2).unflatten(-1, (-1, 32))
    exponents = blocks.abs().amax(-1).clamp(min=1e-30).log2().floor() - 2
    scaled = blocks / exponents.exp2().unsqueeze(-1)
    return (scaled.unsqueeze(-1) - E2M1).abs().argmin(-1), exponents


def mxfp4_rounded(stack):
    codes, exponents = mxfp4_codes(stack)
    return (E2M1[codes] * exponents.exp2().unsqueeze(-1)).flatten(-2).transpose(1, 2).to(stack.dtype)


def write_mxfp4(spec, directory):
    """The checkpoint once more with its experts as gpt-oss is published: blocks and scales."""
    path, out = os.path.join(directory, "model.safetensors"), {}
    for name, t in load_file(path).items():
        if not is_mxfp4(spec, name):
            out[name] = t
            continue
        codes, exponents = mxfp4_codes(t)
        out[name + "_blocks"] = (codes[..., 0::2] | codes[..., 1::2] << 4).to(torch.uint8).contiguous()
        out[name + "_scales"] = (exponents + 127).to(torch.uint8)
    save_file(out, path, metadata={"format": "pt"})
    skipped = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    quantized = {"quant_method": "mxfp4", "modules_to_not_convert": skipped}
    write_json(os.path.join(directory, "config.json"), spec["config"] | {"quantization_config": quantized})


def stale_buffers(kind, config, dtype):
    """What the hub's files of some families hold besides weights; readers must ignore it."""
    if kind == "gpt_neox":
        n, count = config["max_position_embeddings"], config["num_hidden_layers"]
        rotary = int(config["hidden_size"] // config["num_attention_heads"] * config["rotary_pct"])
        root = "gpt_neox.layers.{}.attention."
        names = {"bias": causal_mask(n, torch.bool), "masked_bias": torch.tensor(-1e9)}
        names["rotary_emb.inv_freq"] = inv_freq(rotary, 10000.0)
    elif kind == "gptj":
        count, root = config["n_layer"], "transformer.h.{}.attn."
        names = {"bias": causal_mask(config["n_positions"], torch.uint8), "masked_bias": torch.tensor(-1e9)}
    elif kind == "gpt2":
        count, root = config["n_layer"], "transformer.h.{}.attn."
        names = {"bias": causal_mask(config["n_positions"], torch.uint8)}
    elif kind == "llama":
        count, root = config["num_hidden_layers"], "model.layers.{}.self_attn."
        names = {"rotary_emb.inv_freq": inv_freq(config["hidden_size"] // config["num_attention_heads"], 10000.0)}
    else:
        return {}
    return {
        root.format(i) + name: t.to(dtype) if t.is_floating_point() else t.clone()
        for i in range(count)
        for name, t in names.items()
    }


def causal_mask(n, dtype):
    return torch.ones(n, n, dtype=torch.bool).tril().to(dtype).view(1, 1, n, n)


def inv_freq(rotary, base):
    return 1.0 / base ** (torch.arange(0, rotary, 2).float() / rotary)


def split(tensors):
    """SHARDS groups of about the same number of bytes, in the order given."""
    total = sum(t.nbytes for t in tensors.values())
    groups, done = [{} for _ in range(SHARDS)], 0
    for name, t in tensors.items():
        groups[min(SHARDS - 1, done * SHARDS // total)][name] = t
        done += t.nbytes
    return groups


def write_unaligned(tensors, path):
    """Safetensors as early writers made them: names in order, header not padded."""
    names = {torch.float32: "F32", torch.uint8: "U8"}
    header, blobs, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name in sorted(tensors):
        t = tensors[name].contiguous()
        blobs.append(t.view(torch.uint8).numpy().tobytes() if t.ndim else t.numpy().tobytes())
        end = at + len(blobs[-1])
        header[name] = {"dtype": names[t.dtype], "shape": list(t.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    while len(text) % 4 == 0:
        text += b" "
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def write_weights(tensors, spec, directory):
    form = spec["form"]
    tensors = {name: t.contiguous() for name, t in tensors.items()}
    if form == "safetensors":
        save_file(tensors, os.path.join(directory, "model.safetensors"), metadata={"format": "pt"})
    elif form == "safetensors-unaligned":
        write_unaligned(tensors, os.path.join(directory, "model.safetensors"))
    elif form in ("bin", "bin-legacy"):
        path = os.path.join(directory, "pytorch_model.bin")
        torch.save(tensors, path, _use_new_zipfile_serialization=form == "bin")
    elif form in ("safetensors-sharded", "bin-sharded"):
        safe = form == "safetensors-sharded"
        usual = "model-{:05d}-of-{:05d}.safetensors" if safe else "pytorch_model-{:05d}-of-{:05d}.bin"
        weight_map = {}
        for i, group in enumerate(split(tensors)):
            shard = spec.get("shard_name", usual).format(i + 1, SHARDS)
            path = os.path.join(directory, shard)
            save_file(group, path, metadata={"format": "pt"}) if safe else torch.save(group, path)
            weight_map |= {name: shard for name in group}
        size = sum(t.nbytes for t in tensors.values())
        index = "model.safetensors.index.json" if safe else "pytorch_model.bin.index.json"
        value = {"metadata": {"total_size": size}, "weight_map": weight_map}
        write_json(os.path.join(directory, index), value)
    else:
        sys.exit(f"{spec['name']}: unknown form {form}")


def write_checkpoint(spec, shapes, seed, directory):
    config = spec["config"]
    dtype = DTYPES[spec["dtype"]]
    tied = not any("lm_head" in name or "embed_out" in name for name in shapes)
    tensors = random_weights(shapes, tied, spec.get("scale", {}), dtype, seed)
    tensors = {name: mxfp4_rounded(t) if is_mxfp4(spec, name) else t for name, t in tensors.items()}
    tensors |= stale_buffers(spec.get("extra"), config, dtype)
    if spec.get("own_head"):
        g = torch.Generator().manual_seed(seed + 1)
        embed = tensors["model.embed_tokens.weight"]
        tensors["lm_head.weight"] = (torch.randn(embed.shape, generator=g) * (1.6 / embed.shape[1] ** 0.5)).to(dtype)
    tensors = {spec.get("rename", {}).get(name, name): t for name, t in tensors.items()}
    strip = spec.get("strip", "")
    write_weights({name.removeprefix(strip): t for name, t in tensors.items()}, spec, directory)


def attention_of(spec):
    return {"attention": spec["attention"]} if "attention" in spec else {}


def load_checked(spec, directory):
    model, info = reference.load(directory, **attention_of(spec))
    missing = set(info["missing_keys"]) | {str(m) for m in info["mismatched_keys"]}
    if missing:
        sys.exit(f"{spec['name']}: transformers misses {sorted(missing)}")
    return model


def prompt_of(spec, seed):
    """Random ids, clear of the special ones, with some repeats as text has."""
    g = torch.Generator().manual_seed(seed)
    low, high = 7, spec["config"]["vocab_size"] - 1
    ids = torch.randint(low, high, (PROMPT_TOKENS,), generator=g).tolist()
    ids[20:24] = ids[3:7]
    return ids


def check_effects(spec, directory, ids, logits):
    """Each change of the config that the row is about must show in the logits."""
    smallest = float("inf")
    for change in spec["matters"]:
        with tempfile.TemporaryDirectory() as scratch:
            shutil.copytree(directory, scratch, dirs_exist_ok=True)
            write_json(os.path.join(scratch, "config.json"), spec["config"] | change)
            model, _ = reference.load(scratch, **attention_of(spec))
        other = reference.logits_of(model, ids)
        effect = ((other - logits).abs().max() / logits.abs().max()).item()
        if effect < MIN_EFFECT:
            sys.exit(f"{spec['name']}: {change} moves the logits by {effect:.1e} of the largest only")
        smallest = min(smallest, effect)
    return smallest


def make(spec, directory):
    os.makedirs(directory, exist_ok=True)
    for name in os.listdir(directory):
        os.unlink(os.path.join(directory, name))
    write_json(os.path.join(directory, "config.json"), spec["config"])
    shapes = shapes_of(directory)
    for seed in range(1, SEEDS + 1):
        write_checkpoint(spec, shapes, seed, directory)
        model = load_checked(spec, directory)
        ids = prompt_of(spec, seed)
        first, lead = reference.greedy(model, ids, 20)
        if len(set(first)) < MIN_DISTINCT // 2 or lead < reference.SAFE_GAP:
            continue
        greedy, lead = reference.greedy(model, ids)
        varied = len(set(greedy)) >= MIN_DISTINCT and len(set(greedy[32:])) >= MIN_DISTINCT // 2
        if varied and lead >= reference.SAFE_GAP:
            break
    else:
        sys.exit(f"{spec['name']}: no seed up to {SEEDS} gives a continuation that varies")
    logits = reference.logits_of(model, ids)
    hidden = reference.hidden_of(model, ids) if spec.get("hidden") else None
    effect = check_effects(spec, directory, ids, logits) if spec["matters"] else float("nan")
    path = os.path.join(directory, "expected.safetensors")
    reference.write_expected(path, ids, logits, greedy, hidden)
    if spec.get("mxfp4"):
        write_mxfp4(spec, directory)
    size = sum(os.path.getsize(os.path.join(directory, n)) for n in os.listdir(directory))
    print(
        f"{spec['name']}: seed {seed}, {size} bytes, {len(set(greedy))} different ids, lead {lead:.1e}, "
        f"largest logit {logits.abs().max():.1f}, smallest effect {effect:.2f}",
        flush=True,
    )
    return size


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("directory")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    known = {spec["name"] for spec in SPECS}
    for name in set(args.names) - known:
        sys.exit(f"no row {name}; there are {', '.join(sorted(known))}")
    print(reference.versions())
    sizes = {
        spec["name"]: make(spec, os.path.join(args.directory, spec["name"]))
        for spec in SPECS
        if not args.names or spec["name"] in args.names
    }
    print(f"{len(sizes)} checkpoints, {sum(sizes.values())} bytes")
    large = [name for name, size in sizes.items() if size > MAX_BYTES]
    if large:
        sys.exit(f"more than {MAX_BYTES} bytes: {', '.join(large)}")


if __name__ == "__main__":
    main()
