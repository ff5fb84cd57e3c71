#!/usr/bin/env python3
"""Writes tests/tensor/data/ggml.safetensors: random blocks of each quantized type of GGUF and the
values that llama.cpp's own gguf package (pip install gguf) decodes them to.

    make_ggml.py            rewrites the file; the result is always the same
"""
import json
import pathlib
import struct

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
         "IQ4_XS", "MXFP4"]
# where the f16 numbers of a block are; random bits there would be no numbers
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82],
          "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0],
          "IQ4_XS": [0], "MXFP4": []}
ELEMENTS = 512


def main():
    rng = np.random.default_rng(12)
    tensors = {}
    for name in TYPES:
        kind = GGMLQuantizationType[name]
        length, size = GGML_QUANT_SIZES[kind]
        blocks = rng.integers(0, 256, (ELEMENTS // length, size), dtype=np.uint8)
        for at in HALVES[name]:
            scales = (rng.standard_normal(len(blocks)) * 0.02).astype(np.float16)
            blocks[:, at:at + 2] = scales.view(np.uint8).reshape(-1, 2)
        if name == "MXFP4":
            blocks[:, 0] = rng.integers(100, 140, len(blocks))
            blocks[:3, 0] = [0, 1, 2]
        tensors[name.lower() + ".blocks"] = ("U8", blocks.reshape(-1))
        tensors[name.lower() + ".values"] = ("F32", dequantize(blocks.reshape(-1), kind).reshape(-1))
    header, at = {}, 0
    for name, (kind, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": list(data.shape), "data_offsets": [at, at + data.nbytes]}
        at += data.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = pathlib.Path(__file__).resolve().parent / "data" / "ggml.safetensors"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text +
                     b"".join(data.tobytes() for _, data in tensors.values()))


if __name__ == "__main__":
    main()
