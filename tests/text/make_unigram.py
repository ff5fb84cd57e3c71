#!/usr/bin/env python3
"""Makes data/unigram: a small tokenizer.json of the model Unigram with T5's parts, and ids.

    make_unigram.py TEXT_FILE

Trains SentencePiece on the text with a few rules of normalising, writes the same vocabulary as
tokenizer.json, without and with byte fallback, and what the `tokenizers` library makes of texts.
Not part of the test run.
"""
import base64
import io
import json
import pathlib
import sys
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as protobuf
from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).parent / "data" / "unigram"
# Source and target characters in hexadecimal: a ligature, a digit, an accent written in two ways,
# control characters, a line break of two characters.
RULES = ["FB01\t66 69", "FF11\t31", "65 301\tE9", "9\t20", "A\t20", "D\t20", "D A\t20", "200B\t",
         "3000\t20", "1F1E9\t44", "2026\t2E 2E 2E"]
TEXTS = ["", " ", "the", " the  way \t of\r\nall ", "\ufb01nd \uff11", "e\u0301t\u00e9 e\u0301\u0323", "!!!!!!",
         "a\u200bb", "\u200bthe", "\u65e5\u672c the \u65e5", "<extra_id_0> of the<extra_id_1> way</s>", "x</s>y",
         "\U0001f1e9\U0001f1ea \U0001f469\u200d\U0001f467", "...\u2026 the", "\u3000the\u3000", "caf\u00e9 \x00 the", "<0x41>", "\u2581the",
         "unknown: \u00e4\u00f6\u00fc\u00df", "12345 67", "the-the_the", "\n\n\n"]


def write_spiece(proto):
    """spiece.model, and what transformers' class of T5 makes of it with four sentinels."""
    from transformers import T5Tokenizer
    with tempfile.TemporaryDirectory() as folder:
        for where in (HERE, pathlib.Path(folder)):
            (where / "spiece.model").write_bytes(proto.SerializeToString())
        (pathlib.Path(folder) / "tokenizer_config.json").write_text(
            json.dumps({"tokenizer_class": "T5Tokenizer", "extra_ids": 4}))
        reference = T5Tokenizer.from_pretrained(folder)
        # SentencePiece, which we follow here, puts its space before a visible one, too.
        write_ids(HERE / "spiece.jsonl", [t for t in TEXTS if "\u2581" not in t], reference.encode, reference.decode)


def write_ids(path, texts, encode, decode):
    with open(path, "w") as f:
        for t in texts:
            ids = encode(t)
            f.write(json.dumps({"text": t, "ids": ids, "decoded": decode(ids, skip_special_tokens=True)}) + "\n")


def main():
    HERE.mkdir(parents=True, exist_ok=True)
    rules = HERE / "rules.tsv"
    rules.write_text("".join(r + "\n" for r in RULES))
    model = io.BytesIO()
    with open(sys.argv[1], encoding="utf-8") as f:
        lines = iter(f.read()[:200000].split("\n"))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines, model_writer=model, vocab_size=400, model_type="unigram", bos_id=-1,
        pad_id=0, eos_id=1, unk_id=2, normalization_rule_tsv=str(rules), character_coverage=0.999)
    rules.unlink()
    proto = protobuf.ModelProto()
    proto.ParseFromString(model.getvalue())
    for i, p in enumerate(proto.pieces):
        p.score = round(p.score, 4) if i > 2 else 0.0
    proto.normalizer_spec.normalization_rule_tsv = ""  # a path
    write_spiece(proto)
    pieces = [[p.piece, round(p.score, 4) if i > 2 else 0.0] for i, p in enumerate(proto.pieces)]
    pieces += [["<extra_id_1>", 0.0], ["<extra_id_0>", 0.0]]
    special = [i for i, (p, _) in enumerate(pieces) if i < 3 or p.startswith("<extra_id")]
    charsmap = base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()
    space = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    tok = {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": pieces[i][0], "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True} for i in special],
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, space]},
        "post_processor": {"type": "TemplateProcessing",
                           "single": [{"Sequence": {"id": "A", "type_id": 0}},
                                      {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
                           "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
        "decoder": space,
        "model": {"type": "Unigram", "unk_id": 2, "vocab": pieces, "byte_fallback": False}}
    for name, fallback in (("plain", False), ("bytes", True)):
        tok["model"]["byte_fallback"] = fallback
        if fallback:
            tok["model"]["vocab"] = pieces + [[f"<0x{b:02X}>", -20.0] for b in range(256)]
            tok["decoder"] = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, space]}
        text = json.dumps(tok, ensure_ascii=False, separators=(",", ":"))
        (HERE / f"{name}.json").write_text(text)
        reference = Tokenizer.from_str(text)
        write_ids(HERE / f"{name}.jsonl", TEXTS, lambda t: reference.encode(t).ids, reference.decode)


if __name__ == "__main__":
    main()
