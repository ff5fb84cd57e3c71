#!/usr/bin/env python3
"""Compares token ids with those of the reference libraries, on text of your own.

    compare_tokenizers.py PROGRAM MODEL_DIR TEXT_FILE...

PROGRAM is run as `PROGRAM tokens MODEL_DIR --jsonl`, which recognises special tokens in a text. The
reference is the `tokenizers` library for tokenizer.json, the class that transformers picks for
vocab.json + merges.txt, and `sentencepiece` or `tiktoken` for tokenizer.model. SentencePiece folders
are held against what LlamaTokenizer of transformers 4 did around that library: text between added
tokens is encoded piece by piece, each piece with the dummy prefix if "legacy" is true or absent, only
the one that begins the text if it is false, none if "add_prefix_space" is false. (transformers 5
takes an absent "legacy" as false, and ranks merges by ids instead of scores.)
Each text is given whole lines at a time, as odd slices, and mixed with hard characters.
Not part of the test run: the libraries are not needed to build or test.
"""
import json
import os
import random
import subprocess
import sys

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
          r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
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


def of_transformers(folder):
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoTokenizer
    tok = AutoTokenizer.from_pretrained(folder)
    return lambda text: tok.encode(text, add_special_tokens=False)


def of_sentencepiece(data, config):
    import re
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as protobuf
    proto = protobuf.ModelProto()
    proto.ParseFromString(data)
    prefixed = sentencepiece.SentencePieceProcessor(model_proto=data)
    proto.normalizer_spec.add_dummy_prefix = False
    plain = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    prefix = config.get("add_prefix_space") is not False
    legacy = config.get("legacy") is not False
    added = {p.piece: i for i, p in enumerate(proto.pieces) if p.type in (2, 3)}
    for number, token in config.get("added_tokens_decoder", {}).items():
        added[token["content"]] = int(number)
    cut = re.compile("(" + "|".join(re.escape(t) for t in sorted(added, key=len, reverse=True)) + ")")

    def encode(text):
        ids = []
        for i, part in enumerate(cut.split(text)):
            if part in added:
                ids.append(added[part])
            elif part:
                ids += (prefixed if prefix and (legacy or i == 0) else plain).encode(part)
        return ids
    return encode


def reference(folder):
    here = lambda name: os.path.join(folder, name)
    if os.path.exists(here("tokenizer.json")):
        from tokenizers import Tokenizer
        tok = Tokenizer.from_file(here("tokenizer.json"))
        return lambda text: tok.encode(text, add_special_tokens=False).ids
    if not os.path.exists(here("tokenizer.model")):
        return of_transformers(folder)
    with open(here("tokenizer.model"), "rb") as f:
        data = f.read()
    if data[:1] == b"\n":
        config = {}
        if os.path.exists(here("tokenizer_config.json")):
            with open(here("tokenizer_config.json")) as f:
                config = json.load(f)
        return of_sentencepiece(data, config)
    import base64
    import tiktoken
    ranks = {base64.b64decode(a): int(b) for a, b in (l.split() for l in data.splitlines())}
    enc = tiktoken.Encoding("model", pat_str=LLAMA3, mergeable_ranks=ranks, special_tokens={})
    return enc.encode_ordinary


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
