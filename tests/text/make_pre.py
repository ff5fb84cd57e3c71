#!/usr/bin/env python3
"""Writes data/pre/words.jsonl: how Hugging Face tokenizers cuts hard texts into words, for each way
that a GGUF file may name.

    make_pre.py [TEXT_FILE…]

The patterns are those of the models' own tokenizer.json. A line is {"pre", "text", "words"}. With
files of text nothing is written; a line for each of their paragraphs goes to the standard output.
"""

import json
import pathlib
import sys

import regex
from tokenizers import Regex, pre_tokenizers

CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SLASH = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LEAD, UPPER, LOWER = r"[^\r\n\p{L}\p{N}]?", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
HAN_UPPER, HAN_LOWER = UPPER[:-1] + r"&&[^\p{Han}]]", LOWER[:-1] + r"&&[^\p{Han}]]"
# Letters that no normalisation may touch are escaped.
DEEPSEEK_LETTERS = (
    "[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ"
    "\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ"
    "𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]"
)
V3_WORDS = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PRE = {
    "gpt-2": [GPT2],
    "llama-bpe": [CONTRACTION + "|" + LEAD + r"\p{L}+|\p{N}{1,3}" + REST],
    "qwen2": [CONTRACTION + "|" + LEAD + r"\p{L}+|\p{N}" + REST],
    "qwen35": [CONTRACTION + "|" + LEAD + r"[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "command-r": [r"\p{N}", GPT2],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
    "viking": [" ?[^(\\s|.,!?…。，、।۔،)]+", r"\p{N}"],
    "deepseek-llm": ["[\r\n]", r"\s?" + DEEPSEEK_LETTERS + "+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", "[一-龥ࠀ-一가-퟿]+", r"\p{N}+"],
    "deepseek-coder": ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"],
    "deepseek-v3": [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", V3_WORDS],
    "gpt-4o": [LEAD + UPPER + "*" + LOWER + "+" + CONTRACTION + "?|" + LEAD + UPPER + "+" + LOWER + "*" + CONTRACTION + r"?|\p{N}{1,3}" + SLASH],
    "tekken": [LEAD + UPPER + "*" + LOWER + "+|" + LEAD + UPPER + "+" + LOWER + r"*|\p{N}" + SLASH],
    "kimi-k2": [r"[\p{Han}]+|" + LEAD + HAN_UPPER + "*" + HAN_LOWER + "+" + CONTRACTION + "?|" + LEAD + HAN_UPPER + "+" + HAN_LOWER + "*"
                + CONTRACTION + r"?|\p{N}{1,3}" + REST],
    "seed-coder": [CONTRACTION + "|" + LEAD + r"\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "bailingmoe": [r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"],
}
TEXTS = [
    "Hello  World's 12345 and 3.14159; don'T I'LL we'Re x'd 'sub",
    "日本語のテキスト、ひらがなカタカナ。中文１２３漢字 한국어 문장 12",
    "foo_bar(baz) => {\n\tif (a && b) {\r\n        return c;  \n}\n\n\n   x",
    "déjà vu ÀÉÎ Straße ǅungla ʰx e\u0301te\u0301 ನಮಸ್ಕಾರ ก็ दिन १२३ Ⅷ ½ ²",
    "…¿qué? «так» — ‘one’ “two” $5 + €6 <a|b> ^~` http://x.y/z//\n/",
    " \u00a0\u3000 tabs\t\t\u2028 \u0085end  ",
    "👩‍👩‍👧 a😀b ！？：～ camelCaseHTTPServer iPhone XMLs",
    "\n  \n\r\n \t\n",
    # Spaces that are members of DeepSeek's classes too, where llama.cpp sees none of them.
    "\u3000\u3000第一章\u3000序言\u2003\u2029 «x»  \u3000\u2003 12\u3000 \u2029 ",
]


def cut(pre, text):
    if pre == "kimi-k2":  # of tiktoken's own, with classes that Hugging Face's patterns do not have
        return [m.group(0) for m in regex.finditer("(?V1)" + PRE[pre][0], text)]
    steps = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in PRE[pre]]
    return [word for word, _ in pre_tokenizers.Sequence(steps).pre_tokenize_str(text)]


def main():
    if len(sys.argv) > 1:
        texts = [part for path in sys.argv[1:] for part in pathlib.Path(path).read_text(encoding="utf-8").split("\n\n") if part]
        out = sys.stdout
    else:
        texts = TEXTS
        out = open(pathlib.Path(__file__).parent / "data/pre/words.jsonl", "w", encoding="utf-8")
    for pre in PRE:
        for text in texts:
            out.write(json.dumps({"pre": pre, "text": text, "words": cut(pre, text)}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
