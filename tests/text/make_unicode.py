#!/usr/bin/env python3
"""Writes what the tokenizers library's normalizers make of every code point: data/unicode.json.

    make_unicode.py         needs `pip install tokenizers`

Each code point is normalised by itself, and, but for ideographs, Hangul and private ones, behind an "a"
with a mark of every combining class, where its own class shows; planes of which nothing is assigned are left out. The results are kept as 32-bit FNV-1a digests of 8192 code points each, the planes
beyond the second as one. test_unicode.c makes the same; the library is not needed to build or test.
"""
import json
import os

from tokenizers import normalizers

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
MARKS = "".join(map(chr, [
    0x345, 0x361, 0x35C, 0x35D, 0x315, 0x300, 0x302F, 0x302C, 0x302B, 0x302A, 0x59A, 0x316, 0x1DCE, 0x31B, 0x321,
    0xF72, 0xF71, 0xEC8, 0xEB8, 0xE48, 0xE38, 0xC56, 0xC55, 0x711, 0x670, 0x652, 0x651, 0x650, 0x64F, 0x64E, 0x64D,
    0x64C, 0x64B, 0xFB1E, 0x5C2, 0x5C1, 0x5BF, 0x5BD, 0x5BC, 0x5BB, 0x5B9, 0x5B8, 0x5B7, 0x5B6, 0x5B5, 0x5B4, 0x5B3,
    0x5B2, 0x5B1, 0x5B0, 0x94D, 0x3099, 0x93C, 0x334]))


def digests(normalizer, head):
    blocks = [2166136261] * 17
    for c in range(1, 0x110000):
        if 0xD800 <= c < 0xE000 or 0x30000 <= c < 0xE0000 or c >= 0xE1000 or head and (0x3400 <= c < 0xA000 or 0xAC00 <= c < 0xF900 or c >= 0x20000):
            continue
        digest = blocks[min(c >> 13, 16)]
        for byte in normalizer.normalize_str(head + chr(c)).encode() + b"\n":
            digest = (digest ^ byte) * 16777619 & 0xFFFFFFFF
        blocks[min(c >> 13, 16)] = digest
    return blocks


def main():
    rows = {name: [digests(getattr(normalizers, name)(), head) for head in ("", "a" + MARKS)]
            for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase")}
    with open(os.path.join(HERE, "unicode.json"), "w") as f:
        f.write('{"marks": ' + json.dumps(MARKS) + ",\n")
        f.write(",\n".join(f'"{name}": {json.dumps(row)}' for name, row in rows.items()) + "}\n")


if __name__ == "__main__":
    main()
