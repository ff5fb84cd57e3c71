#!/usr/bin/env python3
"""Writes what lm-evaluation-harness says of some texts, for tests/cli/test_score.sh.

    make_scores.py [TREE]       (TREE: this repository's tests, default: beside this file)

For each model: tests/models/scores/NAME/in.jsonl, lines for `spillway score`, and expected.jsonl,
the harness's own numbers by its Hugging Face backend in float32. Models are the shipped one and
two tiny checkpoints; these have no tokenizer, so one that fits is made and kept there, too.
Needs: pip install lm-eval torch transformers.
"""

import json
import os
import pathlib
import shutil
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"

HERE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
TEXT = (HERE / "models/shakespeare/README.md").read_text()


def byte_level(size):
    """Byte-level BPE as of GPT-2; no BOS is added, the last id is <|endoftext|>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1, initial_alphabet=alphabet, show_progress=False
    )
    tok.train_from_iterator([TEXT], trainer)
    tok.add_special_tokens(["<|endoftext|>"])
    return tok, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}


def llama_style(size):
    """As the first Llamas' after conversion: byte fallback, a space before the text, <s> added."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    special = ["<unk>", "<s>", "</s>"]
    words = special + [f"<0x{b:02X}>" for b in range(256)]
    letters = ["\u2581"] + list("etaoinshrdlu,.")
    merges = [("t", "h"), ("th", "e"), ("\u2581", "the"), ("a", "n"), ("o", "u"), ("i", "n")]
    words += letters + [a + b for a, b in merges]
    assert len(words) <= size
    vocab = {w: i for i, w in enumerate(words)}
    tok = Tokenizer(models.BPE(vocab, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tok.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    tok.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    tok.add_special_tokens([AddedToken(t, special=True) for t in special])
    return tok, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


# model, how its tokenizer is made (None: it has one)
MODELS = [("shakespeare", None), ("tiny/gptj", byte_level), ("tiny/llama", llama_style)]


def lines():
    """What is scored: one dict a line, as `spillway score` takes them."""
    pairs = [
        ("ROMEO:\nBut, soft! what light through yonder", " window breaks?"),
        ("ROMEO:\nBut, soft! what light through yonder ", "window breaks?"),
        ("trailing spaces, tab and no-break \t\u00a0 ", " go over"),
        ("KING HENRY:", "\nOnce more"),
        ("", "To be, or not to be"),
        ("   ", "only space before"),
        ("caf\u00e9 na\u00efve \u2014 ", "\u4f60\u597d \U0001f600"),
        ("Now is the winter of our", " discontent"),
        ("Now is the winter of our dis", "content"),
        ("x" * 40 + "\n" * 3, "\n\nend"),
        ("word " * 400, "that does not fit with its context"),
    ]
    for i, (context, continuation) in enumerate(pairs):
        yield {"id": f"pair-{i}", "context": context, "continuation": continuation}
    groups = [
        ("Q: Who loves Juliet?\nA:", ["Romeo", "Tybalt", "the apothecary of Mantua"], " "),
        ("The king is", [" dead", " mad", " here", " d\u00e9j\u00e0 vu"], ""),
        ("One:", [" a", " b"], ""),
    ]
    for i, (context, choices, delimiter) in enumerate(groups):
        yield {"id": f"choices-{i}", "context": context, "choices": choices, "delimiter": delimiter}
    texts = ["O", "A short text, two  words apart.\n", TEXT[:4000]]
    for i, text in enumerate(texts):
        yield {"id": f"text-{i}", "text": text}


def directory(name, make, kept, scratch):
    """The model's folder, with the tokenizer where it has none; that goes to `kept`, too."""
    model = HERE / "models" / name
    if make is None:
        return model
    out = pathlib.Path(scratch) / name.replace("/", "-")
    shutil.copytree(model, out)
    tok, config = make(json.loads((model / "config.json").read_text())["vocab_size"])
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": int(1e30)}
    for folder in (kept, out):
        tok.save(str(folder / "tokenizer.json"), pretty=False)
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return out


def harness(path):
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(path), dtype="float32", device="cpu", batch_size=1)


def ask(lm, kind, arguments):
    from lm_eval.api.instance import Instance

    requests = [
        Instance(request_type=kind, doc={}, arguments=a, idx=i) for i, a in enumerate(arguments)
    ]
    return getattr(lm, kind)(requests, disable_tqdm=True)


def expected(lm, line):
    """The harness's answer to a line; None where it fails."""
    if "text" in line:
        (total,) = ask(lm, "loglikelihood_rolling", [(line["text"],)])
        return {"logprob": total, "tokens": len(lm.tok_encode(line["text"]))}
    if "choices" in line:
        full = [(line["context"], line["delimiter"] + c) for c in line["choices"]]
        answers = ask(lm, "loglikelihood", full)
        scores = [a[0] for a in answers]
        per_char = [s / len(c) for s, c in zip(scores, line["choices"])]
        return {
            "choices": [{"logprob": s, "greedy": g} for s, g in answers],
            "best": scores.index(max(scores)),
            "best_per_char": per_char.index(max(per_char)),
        }
    ((total, greedy),) = ask(lm, "loglikelihood", [(line["context"], line["continuation"])])
    return {"logprob": total, "greedy": greedy}


def main():
    with tempfile.TemporaryDirectory() as scratch:
        for name, make in MODELS:
            kept = HERE / "models/scores" / pathlib.Path(name).name
            kept.mkdir(parents=True, exist_ok=True)
            lm = harness(directory(name, make, kept, scratch))
            given, answers = [], []
            for line in lines():
                try:
                    answer = expected(lm, line)
                except (AssertionError, IndexError, RuntimeError) as e:
                    print(f"{name}: {line['id']} is left out: {type(e).__name__} {e}")
                    continue
                given.append(line)
                answers.append({"id": line["id"]} | answer)
            for stem, items in (("in", given), ("expected", answers)):
                text = "".join(json.dumps(item) + "\n" for item in items)
                (kept / f"{stem}.jsonl").write_text(text)
            print(f"{name}: {len(given)} lines, context {lm.max_length}")


if __name__ == "__main__":
    main()
