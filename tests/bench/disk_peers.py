#!/usr/bin/env python3
"""Decodes some tokens with a model whose layers stay on disk, by a program that disk.sh compares with.

usage: disk_peers.py accelerate|airllm MODEL NEW_TOKENS THREADS FOLDER

accelerate: transformers with all layers in a device map on "disk"; airllm: AirLLM, which writes its
own copy of the model, a file a layer, into FOLDER at first. MODEL is a folder with safetensors. Prints
JSON: seconds for each token after the first, and bytes that the process read from disk for each.
"""

import json
import sys
import time


def read_bytes():
    with open("/proc/self/io", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def with_accelerate(path, _folder):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    layers = AutoConfig.from_pretrained(path).num_hidden_layers
    places = {"model.embed_tokens": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu"}
    places.update({f"model.layers.{i}": "disk" for i in range(layers)})
    model = AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float16, device_map=places, offload_folder=_folder)
    return model, torch.tensor([[1, 5]])


def with_airllm(path, folder):
    import torch
    from airllm import AutoModel

    model = AutoModel.from_pretrained(path, device="cpu", dtype=torch.float16, prefetching=False,
                                      layer_shards_saving_path=folder)
    return model, torch.tensor([[1, 5]])


def main(program, path, new, threads, folder):
    import torch

    torch.set_num_threads(int(threads))
    model, ids = {"accelerate": with_accelerate, "airllm": with_airllm}[program](path, folder)
    marks = []
    with torch.no_grad():
        # every token is a pass over all layers; with a cache of keys each pass has one row
        past = None
        for _ in range(int(new) + 1):
            marks.append((time.monotonic(), read_bytes()))
            out = model(input_ids=ids if past is None else ids[:, -1:], past_key_values=past, use_cache=True)
            past = out.past_key_values
            ids = torch.cat([ids, out.logits[:, -1:].argmax(-1)], 1)
        marks.append((time.monotonic(), read_bytes()))
    seconds = (marks[-1][0] - marks[1][0]) / int(new)
    print(json.dumps({"s_per_token": seconds, "read_bytes": (marks[-1][1] - marks[1][1]) / int(new),
                      "ids": ids[0, 2:].tolist()}))
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 6 or sys.argv[1] not in ("accelerate", "airllm"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
