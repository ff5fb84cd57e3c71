#!/usr/bin/env python3
"""Compares a built `spillway` with Hugging Face transformers on one checkpoint.

    compare_hf.py build/spillway MODEL_DIRECTORY [--prompt TEXT] [--hidden] [-- SPILLWAY OPTIONS…]

For developers who have torch and transformers. Three comparisons, each in float32:

1. `spillway trace`: logits of every position (and, with --hidden, of every layer's output);
2. the greedy continuation, without a tokenizer: transformers' own 64 greedy tokens are traced in
   one go, and the best logit at each position must be the next token;
3. with --prompt: `spillway run --json` must give transformers' prompt length and greedy ids.

Exit status 0: all agree; 1: some do not.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, GenerationConfig

import reference


def parse():
    argv = sys.argv[1:]
    cut = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("spillway", help="the program")
    parser.add_argument("model", help="a directory as the hub publishes it")
    parser.add_argument("--tokens", help="ids to trace, 1,2,3 (default: expected.safetensors', else random)")
    parser.add_argument("--prompt", help="text for `spillway run`; the directory needs a tokenizer")
    parser.add_argument("-n", type=int, default=reference.GREEDY_TOKENS, help="greedy tokens (%(default)s)")
    parser.add_argument("--hidden", action="store_true", help="compare every layer's output too")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="share of the largest value (%(default)s)")
    args = parser.parse_args(argv[:cut])
    args.options = argv[cut + 1 :]
    return args


def call(args, verb, *rest):
    command = [args.spillway, verb, args.model, *rest, *args.options]
    done = subprocess.run(command, stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}")
    return done.stdout


def trace(args, ids, hidden=False):
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "trace.safetensors")
        more = ["--hidden"] if hidden else []
        call(args, "trace", "--tokens", ",".join(map(str, ids)), "--dump", path, *more)
        return load_file(path)


def prompt_ids(args, model):
    if args.tokens:
        return [int(id) for id in args.tokens.split(",")]
    expected = os.path.join(args.model, "expected.safetensors")
    if os.path.exists(expected):
        return load_file(expected)["input_ids"].flatten().tolist()
    g = torch.Generator().manual_seed(1)
    return torch.randint(10, model.config.vocab_size, (24,), generator=g).tolist()


def say(what, good, detail):
    print(f"{'ok  ' if good else 'FAIL'} {what}: {detail}")
    return good


def agree(what, ours, theirs, tolerance):
    if ours is None:
        return say(what, False, "not in the dump")
    if ours.shape != theirs.shape:
        return say(what, False, f"shape is {list(ours.shape)}, transformers' {list(theirs.shape)}")
    gap = (ours.float() - theirs).abs()
    row = int(gap.flatten(1).max(1).values.argmax())
    error = (gap.max() / theirs.abs().max()).item()
    # A NaN compares false, so it fails.
    return say(what, error <= tolerance, f"largest error {error:.2e} of the largest value, at position {row}")


def compare_trace(args, model, ids):
    dump = trace(args, ids, args.hidden)
    good = agree("logits", dump.get("logits"), reference.logits_of(model, ids), args.tolerance)
    if args.hidden:
        for name, theirs in reference.hidden_of(model, ids).items():
            good &= agree(name, dump.get(name), theirs, args.tolerance)
    return good


def compare_greedy(args, model, ids):
    continued, lead = reference.greedy(model, ids, args.n)
    logits = trace(args, ids + continued[:-1])["logits"]
    ours = logits[len(ids) - 1 :].argmax(1).tolist()
    return same_ids("greedy ids by trace", ours, continued, lead)


def same_ids(what, ours, theirs, lead):
    at = next((i for i, pair in enumerate(zip(ours, theirs)) if pair[0] != pair[1]), None)
    if at is None and len(ours) == len(theirs):
        return say(what, True, f"{len(ours)} identical (smallest lead {lead:.1e} of the largest logit)")
    if at is None:
        return say(what, False, f"{len(ours)} ids, transformers' {len(theirs)}")
    return say(what, False, f"token {at} is {ours[at]}, transformers' {theirs[at]} (smallest lead {lead:.1e})")


def end_ids(args, model):
    """Where generation stops: generation_config.json first, as transformers does."""
    try:
        ends = GenerationConfig.from_pretrained(args.model, local_files_only=True).eos_token_id
    except OSError:
        ends = model.config.eos_token_id
    return set(ends if isinstance(ends, list) else [ends])


def compare_run(args, model):
    tokenizer = AutoTokenizer.from_pretrained(args.model, local_files_only=True)
    ids = tokenizer.encode(args.prompt)
    continued, lead = reference.greedy(model, ids, args.n)
    ends = end_ids(args, model)
    stop = next((i for i, id in enumerate(continued) if id in ends), args.n)
    answer = json.loads(call(args, "run", args.prompt, "-n", str(args.n), "--json"))
    good = say(
        "prompt tokens",
        answer["prompt_tokens"] == len(ids),
        f"{answer['prompt_tokens']}, transformers' {len(ids)}",
    )
    ours = answer["ids"]
    ours = ours[:-1] if ours and ours[-1] in ends else ours
    good &= same_ids("greedy ids by run", ours, continued[:stop], lead)
    text = tokenizer.decode(continued[:stop], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    same = answer["text"] == text
    return good & say("greedy text", same, repr(text) if same else f"{answer['text']!r}, transformers' {text!r}")


def main():
    args = parse()
    model, _ = reference.load(args.model)
    ids = prompt_ids(args, model)
    good = compare_trace(args, model, ids)
    good &= compare_greedy(args, model, ids)
    if args.prompt is not None:
        good &= compare_run(args, model)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
