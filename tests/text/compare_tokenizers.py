#!/usr/bin/env python3
"""Compares token ids with those of the reference libraries, on text of your own.

    compare_tokenizers.py PROGRAM MODEL_DIR TEXT_FILE...

PROGRAM is run as `PROGRAM tokens MODEL_DIR --jsonl`. The reference is the `tokenizers` library for
tokenizer.json and vocab.json + merges.txt, `sentencepiece` or `tiktoken` for tokenizer.model.
Each text is given whole lines at a time, as odd slices, and mixed with hard characters.
Not part of the test run: the libraries are not needed to build or test.
"""
import json
import os
import random
import subprocess
import sys

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
          r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN = LLAMA3.replace("{1,3}", "")
HARD = ["\u00e9", "e\u0301", "\u1100\u1161\u11a8", "\u0fb2\u0f71\u0f80", "\U0001f469\u200d\U0001f469\u200d\U0001f467",
        "\u3000", "\u00a0", "\u180e", "\u2028", "\x85", "\x00", "\ufeff", "\ufffd", "\u017f", "'\u017f", "'S", "\r\n",
        "\t\t", "    ", "  \n  ", "\u2581", "\u2581\u2581", "<s>", "</s>", "<|endoftext|>", "<0x0A>", "\u0661\u0662",
        "\u4f60\u597d", "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0627\u0644\u0639", "\U0001f1e9\U0001f1ea", "\ufb01", "\u00bd",
        "\u2126", "\u212b", "123456789", "3.14", "...", "!!!!!!", "\ue000", "\U0010ffff", "_a_b", "\u0345\u0301\u0327"]


def samples(paths):
    rng = random.Random(1)
    for path in paths:
        with open(path, encoding="utf-8", errors="replace", newline="") as f:
            text = f.read()
        lines = text.split("\n")
        yield from lines
        at = 0
        while at < len(text):
            n = rng.choice([1, 3, 17, 101, 997, 4999])
            yield text[at:at + n]
            at += n
        for line in lines:
            words = line.split(" ")
            for _ in range(3):
                words.insert(rng.randrange(len(words) + 1), rng.choice(HARD))
            yield rng.choice(["", " "]).join(words)
    for _ in range(20000):
        yield "".join(rng.choice(HARD) if rng.random() < 0.7 else chr(rng.choice(
            [rng.randrange(32, 127), rng.randrange(0xa0, 0x3000), rng.randrange(0x4e00, 0x4f00),
             rng.randrange(0x1f300, 0x1f600)])) for _ in range(rng.randrange(1, 24)))


def byte_level(vocab, merges, pattern, nfc, ignore_merges):
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    tok = Tokenizer(models.BPE.from_file(vocab, merges, ignore_merges=ignore_merges))
    if nfc:
        tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return lambda text: tok.encode(text, add_special_tokens=False).ids


def reference(folder):
    here = lambda name: os.path.join(folder, name)
    if os.path.exists(here("tokenizer.json")):
        from tokenizers import Tokenizer
        tok = Tokenizer.from_file(here("tokenizer.json"))
        tok.encode_special_tokens = True
        return lambda text: tok.encode(text, add_special_tokens=False).ids
    if os.path.exists(here("tokenizer.model")):
        with open(here("tokenizer.model"), "rb") as f:
            data = f.read()
        if data[:1] == b"\n":
            import sentencepiece
            sp = sentencepiece.SentencePieceProcessor(model_proto=data)
            return sp.encode
        import base64
        import tiktoken
        ranks = {base64.b64decode(a): int(b) for a, b in (l.split() for l in data.splitlines())}
        enc = tiktoken.Encoding("model", pat_str=LLAMA3, mergeable_ranks=ranks, special_tokens={})
        return enc.encode_ordinary
    family = ""
    for name, key in (("config.json", "model_type"), ("tokenizer_config.json", "tokenizer_class")):
        if not family and os.path.exists(here(name)):
            with open(here(name)) as f:
                family = json.load(f).get(key, "").lower()
    qwen, llama = family.startswith("qwen"), family.startswith("llama")
    return byte_level(here("vocab.json"), here("merges.txt"),
                      QWEN if qwen else LLAMA3 if llama else GPT2, qwen, llama)


def main():
    program, folder, paths = sys.argv[1], sys.argv[2], sys.argv[3:]
    texts = list(samples(paths))
    lines = "".join(json.dumps({"text": t}) + "\n" for t in texts)
    run = subprocess.run([program, "tokens", folder, "--jsonl"], input=lines.encode(),
                         stdout=subprocess.PIPE, check=True)
    ours = [json.loads(line)["ids"] for line in run.stdout.splitlines()]
    if len(ours) != len(texts):
        sys.exit(f"{len(texts)} texts gave {len(ours)} answers")
    encode = reference(folder)
    wrong = 0
    for text, ids in zip(texts, ours):
        expected = encode(text)
        if ids != expected:
            wrong += 1
            if wrong <= 5:
                print(f"{text!r}\n  ours     {ids}\n  expected {expected}")
    size = sum(len(t.encode()) for t in texts)
    print(f"{folder}: {len(texts)} texts, {size / 1e6:.1f} MB, {sum(map(len, ours))} tokens, "
          f"{wrong} texts differ")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
