#!/usr/bin/env python3
"""Writes what transformers with bitsandbytes (load_in_8bit, on the CPU) answers for int8 weights.

    make_int8.py

tests/models/int8/NAME.safetensors, for some of the models here: input_ids as in that checkpoint's
expected.safetensors, and logits (n_tokens, vocab) f32. Tokens are computed one at a time with a cache:
bitsandbytes looks for outliers in columns of all the rows that it is given at once.

tests/models/int8/layer.safetensors: one linear layer of bitsandbytes' own. w (rows, cols) f16, its
q (rows, cols) i8 and scb (rows) f32; x (n, cols) f32, some elements above 6; y (n, rows) f32, each
row of x by itself.

Needs torch, transformers, safetensors, accelerate and bitsandbytes. Nothing is downloaded.
"""

import logging
import os

import reference
import bitsandbytes
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ["shakespeare", "tiny/gpt_neox", "tiny/llama", "tiny/opt"]
THRESHOLD = 6.0


@torch.no_grad()
def logits_of(directory, ids):
    model = AutoModelForCausalLM.from_pretrained(
        directory,
        dtype=torch.float32,
        attn_implementation="eager",
        local_files_only=True,
        device_map={"": "cpu"},
        quantization_config=BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=THRESHOLD),
    ).eval()
    linears = [m for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear8bitLt)]
    assert linears and all(m.weight.dtype == torch.int8 for m in linears), "nothing is int8"
    rows, cache = [], None
    for i in ids:
        out = model(torch.tensor([[i]]), past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        rows.append(out.logits[0, -1].float())
    return torch.stack(rows)


@torch.no_grad()
def layer():
    torch.manual_seed(8)
    rows, cols, n = 40, 72, 7
    w = (torch.randn(rows, cols) * torch.logspace(-2, 0, rows)[:, None]).half()
    x = torch.randn(n, cols).half().float()
    for row in range(1, n):
        x[row, torch.randperm(cols)[:row]] *= 8
    x = x.half().float()
    q, scb, _ = bitsandbytes.functional.int8_vectorwise_quant(w)
    linear = bitsandbytes.nn.Linear8bitLt(
        cols, rows, bias=False, has_fp16_weights=False, threshold=THRESHOLD
    )
    linear.weight = bitsandbytes.nn.Int8Params(w, requires_grad=False, has_fp16_weights=False)
    linear = linear.to("cpu").eval()
    y = torch.cat([linear(row[None]).float() for row in x])
    assert (x.abs() > THRESHOLD).any() and not (x.abs() == THRESHOLD).any()
    return {"w": w, "q": q, "scb": scb.float(), "x": x, "y": y}


def main():
    out = os.path.join(HERE, "int8")
    os.makedirs(out, exist_ok=True)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    print(reference.versions() + f", bitsandbytes {bitsandbytes.__version__}")
    tensors = {name: t.contiguous() for name, t in layer().items()}
    save_file(tensors, os.path.join(out, "layer.safetensors"), metadata={"format": "pt"})
    for name in NAMES:
        directory = os.path.join(HERE, name)
        expected = load_file(os.path.join(directory, "expected.safetensors"))
        ids, f32 = expected["input_ids"], expected["logits"]
        logits = logits_of(directory, ids.tolist())
        save_file(
            {"input_ids": ids, "logits": logits.contiguous()},
            os.path.join(out, os.path.basename(name) + ".safetensors"),
            metadata={"format": "pt"},
        )
        cost = ((logits - f32).abs().max() / f32.abs().max()).item()
        print(f"{name}: differs from float32 by {cost:.1e} of the largest logit")


if __name__ == "__main__":
    main()
