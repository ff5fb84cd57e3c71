#!/usr/bin/env python3
"""Writes the tiny random checkpoints of T5 in tests/models/t5 and what transformers answers for them.

    make_t5.py OUTPUT_DIRECTORY [NAME…]

As make_reference.py, for encoder-decoders: OUTPUT_DIRECTORY/NAME has config.json, model.safetensors and
expected.safetensors (input_ids, the source; decoder_input_ids; logits of each of these; greedy_ids, 64
of them after the start). transformers' own encoder and decoder compute them in float32. The head is
applied here: transformers 5 ties it whatever the config says, which models of version 1.1 are not.
"""

import json
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import T5Config, T5ForConditionalGeneration

import reference

COMMON = {"architectures": ["T5ForConditionalGeneration"], "decoder_start_token_id": 0, "dropout_rate": 0.0,
          "eos_token_id": 1, "initializer_factor": 1.0, "is_encoder_decoder": True, "layer_norm_epsilon": 1e-06,
          "model_type": "t5", "n_positions": 512, "pad_token_id": 0, "torch_dtype": "float32", "use_cache": True}
SPECS = {
    # heads no power of two, of an odd size, whose sum is not the hidden size; more decoder than encoder
    "t5": {"d_ff": 40, "d_kv": 9, "d_model": 28, "feed_forward_proj": "relu", "num_decoder_layers": 3, "num_heads": 3,
           "num_layers": 2, "relative_attention_max_distance": 12, "relative_attention_num_buckets": 8, "vocab_size": 101},
    # version 1.1: gated, with a head of its own; as many layers in both stacks, which is not said
    "t5_v1_1": {"d_ff": 36, "d_kv": 6, "d_model": 20, "feed_forward_proj": "gated-gelu", "num_heads": 5, "num_layers": 2,
                "relative_attention_max_distance": 40, "relative_attention_num_buckets": 12,
                "tie_word_embeddings": False, "vocab_size": 98},
}
# what of T5 overflows f16: the MLP's inner values, and the residual stream that they are added to
SPECS["t5_large"] = SPECS["t5"] | {"d_ff": 32, "d_model": 24}
LARGE = 5e4
SOURCE, TARGET = 37, 23
MIN_DISTINCT = {"t5": 6, "t5_large": 4, "t5_v1_1": 16}  # a tied head of random weights repeats itself


torch.set_num_threads(1)


class Model:
    def __init__(self, config, seed, large):
        torch.manual_seed(seed)
        self.model = T5ForConditionalGeneration(T5Config(**config)).float().eval()
        self.tied = config.get("tie_word_embeddings", True)
        with torch.no_grad():
            for name, p in self.model.named_parameters():
                if "relative_attention_bias" in name:
                    p.mul_(6)
                if name == "shared.weight" and self.tied:  # else an id's own embedding is what follows
                    p.mul_(0.2)
                if self.tied and name.endswith(("o.weight", "wo.weight")):
                    p.mul_(3)
                if large and name.endswith("wi.weight"):
                    p.mul_(LARGE)
        hidden = config["d_model"]
        self.scale = hidden ** -0.5 if self.tied else 1.0
        self.head = self.model.shared.weight if self.tied else torch.randn(config["vocab_size"], hidden) * hidden ** -0.5

    @torch.no_grad()
    def logits(self, source, target):
        memory = self.model.encoder(input_ids=torch.tensor([source])).last_hidden_state
        h = self.model.decoder(input_ids=torch.tensor([target]), encoder_hidden_states=memory,
                               use_cache=False).last_hidden_state
        logits = (h * self.scale) @ self.head.T
        if self.tied:
            own = self.model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([target])).logits
            assert torch.allclose(own, logits, atol=1e-5)
        return logits[0]

    @torch.no_grad()
    def largest(self, source, target):
        """The largest value of the residual stream of the decoder, before its last norm."""
        memory = self.model.encoder(input_ids=torch.tensor([source])).last_hidden_state
        states = self.model.decoder(input_ids=torch.tensor([target]), encoder_hidden_states=memory, use_cache=False,
                                    output_hidden_states=True).hidden_states
        return torch.stack([s.abs().max() for s in states[:-1]]).max().reshape(1)

    def greedy(self, source):
        ids, out, smallest = [0], [], float("inf")
        for _ in range(reference.GREEDY_TOKENS):
            last = self.logits(source, ids)[-1]
            best = last.topk(2)
            smallest = min(smallest, ((best.values[0] - best.values[1]) / last.abs().max()).item())
            out.append(best.indices[0].item())
            ids.append(out[-1])
            if smallest < reference.SAFE_GAP or (len(out) == 20 and len(set(out)) < 4):
                return out, 0.0
        return out, smallest


def write(folder, name):
    spec = SPECS[name]
    config = COMMON | spec
    for seed in range(2000):
        model = Model(config, seed, name == "t5_large")
        source = torch.randint(2, spec["vocab_size"], (SOURCE,)).tolist() + [1]
        target = [0] + torch.randint(2, spec["vocab_size"], (TARGET,)).tolist()
        greedy, gap = model.greedy(source)
        if gap >= reference.SAFE_GAP and len(set(greedy)) >= MIN_DISTINCT[name]:
            break
    else:
        sys.exit(f"{folder}: no seed gives a varied continuation")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f, indent=2, sort_keys=True)
        f.write("\n")
    tensors = {n: t.clone().contiguous() for n, t in model.model.state_dict().items()
               if n not in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")}
    if not model.tied:
        tensors["lm_head.weight"] = model.head.clone().contiguous()
    save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    save_file({"input_ids": torch.tensor(source), "decoder_input_ids": torch.tensor(target),
               "logits": model.logits(source, target).contiguous(), "greedy_ids": torch.tensor(greedy),
               "largest": model.largest(source, target)},
              os.path.join(folder, "expected.safetensors"), metadata={"format": "pt"})
    print(f"{folder}: seed {seed}, {len(set(greedy))} different ids, smallest lead {gap:.1e}")


def main():
    for name in sys.argv[2:] or SPECS:
        write(os.path.join(sys.argv[1], name), name)


if __name__ == "__main__":
    main()
