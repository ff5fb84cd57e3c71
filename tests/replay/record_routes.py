#!/usr/bin/env python3
"""Records which experts a model chooses, as docs/formats.md (Routes) has it, with transformers.

    record_routes.py MODEL_DIRECTORY [--sequences N] [--length N] > routes.jsonl

For developers who have torch and transformers. The model draws sequences from itself; each token is
a step. Layers that hold no experts have no lines.
"""

import argparse
import json

import torch
from transformers import AutoConfig, AutoModelForCausalLM


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", help="a directory as the hub publishes it")
    parser.add_argument("--sequences", type=int, default=4)
    parser.add_argument("--length", type=int, default=100)
    args = parser.parse_args()
    config = AutoConfig.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32,
                                                 experts_implementation="eager").eval()
    used = config.num_experts_per_tok
    dense = set(getattr(config, "mlp_only_layers", None) or [])
    every = getattr(config, "decoder_sparse_step", 1)
    layers = [i for i in range(config.num_hidden_layers) if i not in dense and (i + 1) % every == 0]
    step, head = 0, None
    for sequence in range(args.sequences):
        torch.manual_seed(sequence)
        start = torch.randint(3, config.vocab_size, (1, 1))
        with torch.no_grad():
            ids = model.generate(start, do_sample=True, min_new_tokens=args.length - 1,
                                 max_new_tokens=args.length - 1, pad_token_id=0)
            logits = model(ids, output_router_logits=True).router_logits
        logits = [one for one in logits if one is not None]
        assert len(logits) == len(layers), "another number of routed layers"
        chosen = [one.reshape(-1, one.shape[-1]).topk(used, dim=-1).indices.tolist()
                  for one in logits]
        if head is None:
            head = {"routes": 1, "model": config.model_type, "experts": logits[0].shape[-1],
                    "used": used}
            print(json.dumps(head, separators=(",", ":")))
        for row in range(len(chosen[0])):
            for layer, rows in zip(layers, chosen):
                print(json.dumps({"step": step, "layer": layer, "experts": [rows[row]]},
                                 separators=(",", ":")))
            step += 1


main()
