#!/usr/bin/env python3
"""Writes tiny checkpoints of group-wise integers as GPTQ, AutoRound, AWQ and compressed-tensors publish them.

    make_grouped.py [NAME ...]

tests/models/quantized/NAME/ has what make_quantized.py says of its own. Packing is a restatement of the formats in
numpy, but for compressed-tensors, whose own library packs. The dequantized values are f32 products of scale and
whole number; the library's own, rounded to the type of the scales, must be these rounded.

Needs torch, transformers, safetensors and compressed-tensors. Nothing is downloaded.
"""

import json
import os
import sys

import numpy
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


def model_of():
    torch.manual_seed(13)
    config = LlamaConfig(vocab_size=61, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
                         tie_word_embeddings=False, initializer_range=0.05)
    return LlamaForCausalLM(config).half().eval()


def groups_of(cols, group, order_seed):
    """The group of each column; shuffled with a seed, as act-order leaves them."""
    at = numpy.arange(cols) // group
    if order_seed is None:
        return at
    return at[numpy.random.default_rng(order_seed).permutation(cols)]


def quantize(weight, bits, group, of, symmetric, scale_type):
    """Codes (rows, cols), scales and zeros (rows, groups)."""
    w = weight.detach().float().numpy()
    rows, cols = w.shape
    most = 2**bits - 1
    codes = numpy.zeros((rows, cols), numpy.int64)
    scales = numpy.zeros((rows, -(-cols // group)), numpy.float32)
    zeros = numpy.zeros_like(scales, dtype=numpy.int64)
    for g in range(scales.shape[1]):
        part = w[:, of == g]
        low, high = numpy.minimum(part.min(1), 0), numpy.maximum(part.max(1), 0)
        if symmetric:
            high = numpy.maximum(high, -low)
            low = -high
        scale = torch.tensor((high - low) / most).to(scale_type).float().numpy()
        zero = numpy.full(rows, (most + 1) // 2) if symmetric else numpy.rint(-low / scale).astype(numpy.int64)
        zero = numpy.clip(zero, 1, most)  # a zero of 0 is what GPTQ's first version cannot say
        codes[:, of == g] = numpy.clip(numpy.rint(part / scale[:, None]) + zero[:, None], 0, most)
        scales[:, g], zeros[:, g] = scale, zero
    return codes, scales, zeros


def dequantized(codes, scales, zeros, of):
    return torch.tensor(scales[:, of] * (codes - zeros[:, of]).astype(numpy.float32))


def packed(values, bits, order=None):
    """(n, m) codes, packed along the last axis into int32 words (n, m * bits / 32), first code lowest."""
    n, m = values.shape
    if order is not None:
        values = values.reshape(n, m // 8, 8)[:, :, list(order)].reshape(n, m)
    field = (values[:, :, None] >> numpy.arange(bits)) & 1
    words = field.reshape(n, m * bits // 32, 32).astype(numpy.uint64) << numpy.arange(32, dtype=numpy.uint64)
    return torch.tensor(words.sum(2).astype(numpy.uint32).view(numpy.int32))


def gptq(stem, codes, scales, zeros, of, bits, first=True, with_groups=True):
    less = zeros - 1 if first else zeros
    out = {stem + ".qweight": packed(codes, bits).T.contiguous(), stem + ".qzeros": packed(less.T, bits),
           stem + ".scales": torch.tensor(scales.T.copy()).half()}
    if with_groups:
        out[stem + ".g_idx"] = torch.tensor(of, dtype=torch.int32)
    return out


def awq(stem, codes, scales, zeros, of):
    assert (numpy.diff(of) >= 0).all()
    return {stem + ".qweight": packed(codes.T, 4, AWQ_ORDER), stem + ".qzeros": packed(zeros.T, 4, AWQ_ORDER),
            stem + ".scales": torch.tensor(scales.T.copy()).half()}


def gemv(stem, codes, scales, zeros, of, group):
    assert (numpy.diff(of) >= 0).all()
    multiple = 1 if group >= 128 else 2 if group == 64 else 4
    width = -(-(-(-scales.shape[1] // 8)) // multiple) * multiple * 8
    wide = [(0, 0), (0, width - scales.shape[1])]
    return {stem + ".qweight": packed(codes, 4), stem + ".qzeros": packed(numpy.pad(zeros, wide), 4),
            stem + ".scales": torch.tensor(numpy.pad(scales, wide)).half()}


def compressed(stem, codes, scales, zeros, of, bits, symmetric, shuffled):
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32

    middle = 2**(bits - 1)
    words = pack_to_int32(torch.tensor(codes - middle).to(torch.int8), bits)
    shape = torch.tensor(codes.shape)
    assert (unpack_from_int32(words, bits, shape).numpy() == codes - middle).all()
    out = {stem + ".weight_packed": words, stem + ".weight_scale": torch.tensor(scales).bfloat16(),
           stem + ".weight_shape": shape}
    if not symmetric:
        out[stem + ".weight_zero_point"] = pack_to_int32(torch.tensor(zeros - middle).to(torch.int8), bits,
                                                         packed_dim=0).contiguous()
    if shuffled:
        out[stem + ".weight_g_idx"] = torch.tensor(of, dtype=torch.int32)
    return out


def int8(stem, weight):
    w = weight.detach().float().numpy()
    scale = torch.tensor(numpy.abs(w).max(1) / 127.5).bfloat16().float().numpy()  # so there are -128
    codes = numpy.clip(numpy.rint(w / scale[:, None]), -128, 127).astype(numpy.int8)
    assert codes.min() == -128
    out = {stem + ".weight": torch.tensor(codes),
           stem + ".weight_scale": torch.tensor(scale[:, None]).bfloat16()}
    return out, torch.tensor(codes.astype(numpy.float32) * scale[:, None])


def order_seed(name):
    """Q and K of a layer share an order, and V of layer 0; so do gate and up of layer 0."""
    layer, last = int(name.split(".")[2]), name.split(".")[-1]
    kind = "qk" if last in ("q_proj", "k_proj") or last == "v_proj" and layer == 0 else last
    kind = "gate_proj" if last == "up_proj" and layer == 0 else kind
    return [layer] + list(kind.encode())


def quantized(model, pack, bits=4, group=32, symmetric=False, scale_type=torch.float16, shuffled=lambda name: False):
    """Tensors of all linear matrices, and their dequantized values. pack(stem, codes, scales, zeros, of)."""
    tensors, values = {}, {}
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear) or name == "lm_head":
            continue
        b = bits(name) if callable(bits) else bits
        size = group if 0 < group < module.in_features else module.in_features
        of = groups_of(module.in_features, size, order_seed(name) if shuffled(name) else None)
        parts = quantize(module.weight, b, size, of, symmetric, scale_type)
        tensors |= pack(name, *parts, of)
        values[name + ".weight"] = dequantized(*parts, of)
    return tensors, values


def digest(values):
    bits = numpy.ascontiguousarray(values.numpy()).reshape(-1).view(numpy.uint32).astype(numpy.uint64)
    return int((bits * (2 * numpy.arange(bits.size, dtype=numpy.uint64) + 1)).sum(dtype=numpy.uint64))


def save(name, model, tensors, values, config, file="model.safetensors", config_file=None):
    out = os.path.join(HERE, "quantized", name)
    os.makedirs(out, exist_ok=True)
    root = {k: v for k, v in model.config.to_dict().items() if v is not None and not k.startswith("_")}
    root["architectures"] = ["LlamaForCausalLM"]
    root.pop("dtype", None)
    root["torch_dtype"] = "float16"
    if config_file is None:
        root["quantization_config"] = config
    else:
        with open(os.path.join(out, config_file), "w") as f:
            json.dump(config, f, indent=2)
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(root, f, indent=2)
    rest = {k: v for k, v in model.state_dict().items() if k not in values}
    save_file({k: v.contiguous() for k, v in (rest | tensors).items()}, os.path.join(out, file), {"format": "pt"})
    exact = LlamaForCausalLM(model.config).float().eval()
    exact.load_state_dict({k: v.float() for k, v in (rest | values).items()})
    ids = torch.arange(3, 19)
    with torch.no_grad():
        logits = exact(ids[None]).logits[0]
    expected = {"digest." + k: torch.tensor([digest(v)], dtype=torch.uint64).view(torch.int64)
                for k, v in values.items()}
    save_file(expected | {"input_ids": ids, "logits": logits.contiguous()},
              os.path.join(out, "expected.safetensors"))


def compressed_config(fmt, bits, group, symmetric, **more):
    weights = {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group" if group else "channel",
               "group_size": group, "dynamic": False} | more
    return {"quant_method": "compressed-tensors", "format": fmt, "ignore": ["lm_head"],
            "quantization_status": "compressed",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}}}


def main():
    def mixed(name):
        return 4 if "down_proj" in name else 2

    m = model_of()
    made = {
        # as the first programs saved them: other names of files, the config beside config.json, no g_idx
        "gptq": lambda: (*quantized(m, lambda *p: gptq(*p, 4, with_groups=False)),
                         {"bits": 4, "group_size": 32, "desc_act": False, "sym": False},
                         "gptq_model-4bit-32g.safetensors", "quantize_config.json"),
        "gptq_order": lambda: (*quantized(m, lambda *p: gptq(*p, 4), shuffled=lambda name: True),
                               {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": True, "sym": False,
                                "checkpoint_format": "gptq"}),
        "gptq_3bit": lambda: (*quantized(m, lambda *p: gptq(*p, 3), bits=3, group=64),
                              {"quant_method": "gptq", "bits": 3, "group_size": 64, "desc_act": False}),
        "gptq_v2": lambda: (*quantized(m, lambda *p: gptq(*p, 8, first=False), bits=8, group=-1, symmetric=True),
                            {"quant_method": "gptq", "bits": 8, "group_size": -1, "desc_act": False, "sym": True,
                             "checkpoint_format": "gptq_v2"}),
        "autoround": lambda: (*quantized(m, lambda s, *p: gptq(s, *p, mixed(s), first=False), bits=mixed),
                              {"quant_method": "intel/auto-round", "bits": 2, "group_size": 32, "sym": False,
                               "data_type": "int", "backend": "auto_round:exllamav2",
                               "extra_config": {"model.layers.0.mlp.down_proj": {"bits": 4}}}),
        "awq": lambda: (*quantized(m, awq, group=64),
                        {"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True, "version": "gemm",
                         "modules_to_not_convert": None}),
        "awq_gemv": lambda: (*quantized(m, lambda *p: gemv(*p, 32)),
                             {"zero_point": True, "q_group_size": 32, "w_bit": 4, "version": "GEMV"},
                             "model.safetensors", "quant_config.json"),
        "ct_asym": lambda: (*quantized(m, lambda *p: compressed(*p, 4, False, False), scale_type=torch.bfloat16),
                            compressed_config("pack-quantized", 4, 32, False)),
        "ct_order": lambda: (*quantized(m, lambda s, *p: compressed(s, *p, 4, True, "down" in s), symmetric=True,
                                        scale_type=torch.bfloat16, shuffled=lambda name: "down" in name),
                             compressed_config("pack-quantized", 4, 32, True, actorder="group")),
        "ct_8bit": lambda: (*quantized(m, lambda *p: compressed(*p, 8, True, False), bits=8, group=-1, symmetric=True,
                                       scale_type=torch.bfloat16),
                            compressed_config("pack-quantized", 8, None, True)),
        "ct_int8": lambda: None,
    }
    for name in sys.argv[1:] or made:
        if name != "ct_int8":
            save(name, m, *made[name]())
            continue
        tensors, values = {}, {}
        for stem, module in m.named_modules():
            if isinstance(module, torch.nn.Linear) and stem != "lm_head":
                parts, values[stem + ".weight"] = int8(stem, module.weight)
                tensors |= parts
        save(name, m, tensors, values, compressed_config("int-quantized", 8, None, True))


if __name__ == "__main__":
    main()
