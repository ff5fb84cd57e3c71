#!/usr/bin/env python3
"""Trains the small GPT-NeoX model that the repository ships, from Shakespeare's plays.

    train_shakespeare.py input.txt OUTPUT_DIRECTORY

input.txt is "tiny Shakespeare", about 40,000 lines of the plays (public domain), as collected in
github.com/karpathy/char-rnn, data/tinyshakespeare/input.txt. Its sha256 is checked.

One thread, fixed seeds, a fixed number of steps: the same versions on the same kind of processor
give the same bytes. The model of the step with the lowest loss on the held-out last 5% is kept,
rounded to bf16 and written as the hub publishes GPT-NeoX checkpoints.
"""

import argparse
import json
import math
import os
import random
import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

import reference

TEXT_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
TEXT_SOURCE = "github.com/karpathy/char-rnn, data/tinyshakespeare/input.txt"
END = "<|endoftext|>"
SEED = 1616
HELD_OUT = 0.05
BATCH, CONTEXT = 8, 256
STEPS, EVAL_EVERY = 2600, 250
WARM_UP, FALL_FROM, FALL_TO, RAMP = 60, 900, 3000, 250
MUON_LR, ADAM_LR, WEIGHT_DECAY = 0.02, 3e-3, 0.1
DROPOUT = 0.1
PROMPT = "ROMEO:"
# What expected.safetensors continues; chosen because no step of it is a near tie.
EXPECTED_PROMPT = "GLOUCESTER:\nNow is the winter of our discontent\n"

CONFIG = {
    "architectures": ["GPTNeoXForCausalLM"],
    "attention_bias": True,
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "hidden_act": "gelu",
    "hidden_dropout": 0.0,
    "hidden_size": 160,
    "initializer_range": 0.02,
    "intermediate_size": 640,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": CONTEXT,
    "model_type": "gpt_neox",
    "num_attention_heads": 5,
    "num_hidden_layers": 6,
    "rotary_emb_base": 10000,
    "rotary_pct": 0.25,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_parallel_residual": True,
    "vocab_size": 1024,
}


def read_text(path):
    got = reference.sha256_of(path)
    if got != TEXT_SHA256:
        sys.exit(f"{path}: sha256 is {got}, expected {TEXT_SHA256}; the text is {TEXT_SOURCE}")
    with open(path, encoding="utf-8", newline="") as f:
        return f.read()


def train_tokenizer(text, path):
    """Byte-level BPE in the form of GPT-NeoX-20B's tokenizer.json; only the training part is seen."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=CONFIG["vocab_size"],
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    assert tokenizer.token_to_id(END) == 0
    assert tokenizer.get_vocab_size() == CONFIG["vocab_size"]
    form = json.loads(tokenizer.to_str())
    # Merges as "a b", which every version of tokenizers reads.
    form["model"]["merges"] = [m if isinstance(m, str) else " ".join(m) for m in form["model"]["merges"]]
    write_json(path, form)
    return Tokenizer.from_file(path)


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2, ensure_ascii=False)
        f.write("\n")


def new_model():
    config = {key: value for key, value in CONFIG.items() if key != "torch_dtype"}
    model = GPTNeoXForCausalLM(GPTNeoXConfig(**config | {"hidden_dropout": DROPOUT}))
    scale = 1 / math.sqrt(2 * CONFIG["num_hidden_layers"])
    with torch.no_grad():
        for layer in model.gpt_neox.layers:
            layer.attention.dense.weight.mul_(scale)
            layer.mlp.dense_4h_to_h.weight.mul_(scale)
    return model


def optimizers_for(model):
    """Muon for the matrices inside the layers, AdamW for embedding, head, norms and biases."""
    matrices, others = [], []
    for name, p in model.named_parameters():
        (matrices if p.ndim == 2 and ".layers." in name else others).append(p)
    tables = [p for p in others if p.ndim == 2]
    vectors = [p for p in others if p.ndim < 2]
    return [
        torch.optim.Muon(matrices, lr=MUON_LR, weight_decay=WEIGHT_DECAY, momentum=0.95),
        torch.optim.AdamW(
            [{"params": tables, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}],
            lr=ADAM_LR,
            betas=(0.9, 0.98),
        ),
    ]


def rate(step, steps):
    """Linear warm-up, full, a slow linear fall, and a fast one to zero over the last RAMP steps."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return min(1.0, (FALL_TO - step) / (FALL_TO - FALL_FROM)) * min(1.0, (steps - step) / RAMP)


def loss_of(model, batch):
    logits = model(batch[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten())


@torch.no_grad()
def held_out_loss(model, ids):
    """Mean over every token of the held-out part, in windows of the model's context."""
    model.eval()
    total = count = 0
    for at in range(0, len(ids) - 1, CONTEXT):
        window = ids[at : at + CONTEXT + 1]
        total += loss_of(model, window[None]).item() * (len(window) - 1)
        count += len(window) - 1
    model.train()
    return total / count


def train(model, ids, held_out, steps):
    optimizers = optimizers_for(model)
    start = [[group["lr"] for group in o.param_groups] for o in optimizers]
    chooser = random.Random(SEED)
    best, best_loss, best_step, began = None, float("inf"), 0, time.monotonic()
    running = None
    for step in range(steps):
        for o, rates in zip(optimizers, start):
            for group, lr in zip(o.param_groups, rates):
                group["lr"] = lr * rate(step, steps)
        starts = [chooser.randrange(len(ids) - CONTEXT) for _ in range(BATCH)]
        batch = torch.stack([ids[at : at + CONTEXT + 1] for at in starts])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for o in optimizers:
            o.step()
            o.zero_grad(set_to_none=True)
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        if (step + 1) % EVAL_EVERY == 0 or step + 1 == steps:
            now = held_out_loss(model, held_out)
            minutes = (time.monotonic() - began) / 60
            print(f"step {step + 1}/{steps}: train {running:.4f}, held out {now:.4f}, {minutes:.1f} min", flush=True)
            if now < best_loss:
                best_loss, best_step = now, step + 1
                best = {name: t.detach().clone() for name, t in model.state_dict().items()}
    model.load_state_dict(best)
    return best_step


def write_model(model, directory):
    tensors = {name: t.to(torch.bfloat16).contiguous() for name, t in model.state_dict().items()}
    save_file(tensors, os.path.join(directory, "model.safetensors"), metadata={"format": "pt"})
    write_json(os.path.join(directory, "config.json"), CONFIG)
    write_json(
        os.path.join(directory, "generation_config.json"),
        {"_from_model_config": True, "bos_token_id": 0, "eos_token_id": 0},
    )
    write_json(
        os.path.join(directory, "tokenizer_config.json"),
        {
            "add_prefix_space": False,
            "bos_token": END,
            "clean_up_tokenization_spaces": False,
            "eos_token": END,
            "model_max_length": int(1e30),  # transformers' word for no limit, as most files have it
            "tokenizer_class": "GPTNeoXTokenizer",
            "unk_token": END,
        },
    )


CARD = """---
license: cc0-1.0
language: en
---
# Shakespeare, {parameters:.1f} million parameters

A small GPT-NeoX model that writes in the manner of Shakespeare's plays. It exists so that Spillway
can be tried and tested without a download; it knows nothing and should be asked nothing.

- **Model:** `gpt_neox`, {layers} layers, hidden size {hidden}, {heads} heads, context {context},
  {vocab} byte-level BPE pieces, bf16, {bytes} bytes.
- **Data:** "tiny Shakespeare", {source}, sha256
  `{text_sha}`. The plays are in the public domain.
  The last 5% were held out.
- **Licence:** public domain (CC0), the text it was trained on as much as the weights.
- **Training:** `python3 tests/models/train_shakespeare.py input.txt tests/models/shakespeare`
  ({steps} steps of {batch} x {context} tokens, one thread, seed {seed}, about 25 minutes on an idle core;
  {versions}). The step with the lowest held-out loss was kept: {best_step}.
- **Loss** (nats per token, of the bf16 weights): held out {held_out:.4f} ({per_char:.4f} per
  character), training text {train:.4f}.
- **Result:** `model.safetensors` sha256 `{sha}`

`expected.safetensors` holds what Hugging Face transformers answers in float32: `input_ids` (of
"{expected_prompt}"), `logits` and
`greedy_ids`, {greedy_count} greedy tokens.

Greedy, from `{prompt}`:

```
{greedy}
```

Temperature 0.7, seed {seed}:

```
{sampled}
```
"""


@torch.no_grad()
def sample(model, ids, count, temperature):
    ids = list(ids)
    for _ in range(count):
        last = model(torch.tensor([ids[-CONTEXT:]]), use_cache=False).logits[0, -1]
        ids.append(torch.multinomial(torch.softmax(last / temperature, -1), 1).item())
    return ids


def write_expected(directory, tokenizer, model):
    """Returns the smallest lead of a greedy step."""
    ids = tokenizer.encode(EXPECTED_PROMPT).ids
    continued, lead = reference.greedy(model, ids)
    path = os.path.join(directory, "expected.safetensors")
    reference.write_expected(path, ids, reference.logits_of(model, ids), continued)
    return lead


def report(directory, tokenizer, ids, held_out, held_out_chars, best_step, steps):
    """Reads the written files back, writes expected.safetensors and the model card, prints both."""
    model, info = reference.load(directory)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    lead = write_expected(directory, tokenizer, model)
    prompt = tokenizer.encode(PROMPT).ids
    continued, _ = reference.greedy(model, prompt, 200)
    torch.manual_seed(SEED)
    weights = os.path.join(directory, "model.safetensors")
    loss = held_out_loss(model, held_out)
    card = CARD.format(
        parameters=sum(p.numel() for p in model.parameters()) / 1e6,
        layers=CONFIG["num_hidden_layers"],
        hidden=CONFIG["hidden_size"],
        heads=CONFIG["num_attention_heads"],
        context=CONTEXT,
        vocab=CONFIG["vocab_size"],
        bytes=os.path.getsize(weights),
        source=TEXT_SOURCE,
        text_sha=TEXT_SHA256,
        steps=steps,
        batch=BATCH,
        seed=SEED,
        versions=reference.versions(),
        best_step=best_step,
        held_out=loss,
        per_char=loss * (len(held_out) - 1) / held_out_chars,
        train=held_out_loss(model, ids[: len(held_out)]),
        sha=reference.sha256_of(weights),
        prompt=PROMPT,
        expected_prompt=EXPECTED_PROMPT.rstrip().replace("\n", " / "),
        greedy_count=reference.GREEDY_TOKENS,
        greedy=tokenizer.decode(prompt + continued).rstrip(),
        sampled=tokenizer.decode(sample(model.eval(), prompt, 200, 0.7)).rstrip(),
    )
    with open(os.path.join(directory, "README.md"), "w", encoding="utf-8") as f:
        f.write(card)
    names = sorted(n for n in os.listdir(directory) if n not in ("README.md", "SHA256SUMS"))
    with open(os.path.join(directory, "SHA256SUMS"), "w", encoding="utf-8") as f:
        for name in names:
            f.write(f"{reference.sha256_of(os.path.join(directory, name))}  {name}\n")
    print(card)
    print(f"smallest greedy lead: {lead:.2e} of the largest logit")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("text")
    parser.add_argument("directory")
    parser.add_argument("--steps", type=int, default=STEPS, help="fewer, to try the script")
    args = parser.parse_args()
    text = read_text(args.text)
    os.makedirs(args.directory, exist_ok=True)

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    cut = text.index("\n\n", int(len(text) * (1 - HELD_OUT))) + 2
    tokenizer = train_tokenizer(text[:cut], os.path.join(args.directory, "tokenizer.json"))
    ids, held_out = (torch.tensor([0] + tokenizer.encode(t).ids) for t in (text[:cut], text[cut:]))
    print(f"{len(ids)} tokens to train on, {len(held_out)} held out; {reference.versions()}", flush=True)

    model = new_model()
    best_step = train(model, ids, held_out, args.steps)
    write_model(model, args.directory)
    report(args.directory, tokenizer, ids, held_out, len(text) - cut, best_step, args.steps)


if __name__ == "__main__":
    main()
