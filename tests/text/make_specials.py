#!/usr/bin/env python3
"""Writes which tokens transformers makes special in folders of vocab.json + merges.txt.

    make_specials.py        needs `pip install transformers`; writes data/specials.json

Every family is given the same small vocabulary, with the files beside it that FILES lists, and each
folder's ids for TEXTS, without BOS and EOS, and its added tokens are noted. The library is not needed
to build or test.
"""
import json
import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
from transformers import AutoTokenizer

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
FAMILIES = ["gpt2", "opt", "gptj", "qwen2", "qwen3", "gpt_neox"]


def token(content, **more):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, **more}


MAP, CONFIG, ADDED = "special_tokens_map.json", "tokenizer_config.json", "added_tokens.json"
FILES = [
    {},
    {CONFIG: {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"}},
    {CONFIG: {k: token("</s>", normalized=True, __type="AddedToken") for k in ("bos_token", "eos_token", "unk_token")},
     MAP: {"pad_token": token("<pad>", lstrip=True)}},
    {MAP: {"eos_token": "<unk>"}, CONFIG: {"eos_token": "</s>", "bos_token": None}},
    {MAP: {"eos_token": token("</s>", rstrip=True), "mask_token": token("<mask>", lstrip=True)}},
    {ADDED: {"<foo>": 300, "</s>": 2}},
    {ADDED: {"<foo>": 300, "<|endoftext|>": 301}, MAP: {"extra_special_tokens": ["<foo>"]}},
    {CONFIG: {"additional_special_tokens": ["<pad>", token("<bar>", special=True, __type="AddedToken")]}},
    {CONFIG: {"extra_special_tokens": ["<unk>", "<foo>"]}},
    {CONFIG: {"extra_special_tokens": {"image_token": "<unk>"}}},
    {CONFIG: {"added_tokens_decoder": {"300": token("<foo>", special=True), "301": token("<bar>", special=False)},
              "eos_token": "<foo>"},
     MAP: {"pad_token": "<pad>"}, ADDED: {"<unk>": 3}},
    {CONFIG: {"added_tokens_decoder": {"1": token("<pad>", special=False, single_word=True)}, "pad_token": "<pad>"}},
    {CONFIG: {"eos_token": None, "unk_token": None, "pad_token": None, "bos_token": None}},
]
TEXTS = ["<s>ab</s> ab<unk> <pad> ab<|endoftext|> <|padding|>", "<foo> a <bar>b <mask> a </s> b", "ab <pad>b",
         "<|im_end|><|endoftext|></s>\n<unk>"]


def vocabulary():
    """The bytes of ASCII in GPT-2's letters, and two merges."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>"] + [chr(c) for c in range(33, 127)] + ["\u0120", "\u010a", "ab", "\u0120ab"]
    merges = ["a b", "\u0120 ab"]
    return {p: i for i, p in enumerate(pieces)}, merges


def main():
    vocab, merges = vocabulary()
    vocab.update({f"filler{i}": i for i in range(len(vocab), 300)})
    cases = []
    for family in FAMILIES:
        for files in FILES:
            with tempfile.TemporaryDirectory() as folder:
                given = {"config.json": {"model_type": family}, **files}
                for name, content in [("vocab.json", vocab), *given.items()]:
                    with open(os.path.join(folder, name), "w") as f:
                        json.dump(content, f)
                with open(os.path.join(folder, "merges.txt"), "w") as f:
                    f.write("#version: 0.2\n" + "\n".join(merges) + "\n")
                tok = AutoTokenizer.from_pretrained(folder)
            added = {str(t): [i, t.special] for i, t in tok.added_tokens_decoder.items()}
            cases.append({"files": given, "added": added,
                          "ids": [tok.encode(t, add_special_tokens=False) for t in TEXTS]})
    with open(os.path.join(HERE, "specials.json"), "w") as f:
        f.write("{" + f'"vocab": {json.dumps(vocab)}, "merges": {json.dumps(merges)},\n"texts": {json.dumps(TEXTS)},\n')
        f.write('"cases": [\n' + ",\n".join(json.dumps(c) for c in cases) + "\n]}\n")


if __name__ == "__main__":
    main()
