#!/usr/bin/env python3
"""Writes tests/tensor/data/encoded.safetensors: values of several kinds and the blocks that ggml's
own quantizers, as llama-quantize calls them without an importance matrix, and bitsandbytes make of
them.

    make_encoded.py LIBGGML     LIBGGML: libggml-base.so of llama.cpp, built with -ffp-contract=off;
                                the result is then always the same

Needs numpy, torch and bitsandbytes (0.50).
"""
import ctypes
import json
import pathlib
import struct
import sys

import bitsandbytes.functional
import numpy as np
import torch

# name: number in GGUF, elements and bytes of a block
TYPES = {"q4_0": (2, 32, 18), "q4_1": (3, 32, 20), "q5_0": (6, 32, 22), "q5_1": (7, 32, 24),
         "q8_0": (8, 32, 34), "q2_k": (10, 256, 84), "q3_k": (11, 256, 110), "q4_k": (12, 256, 144),
         "q5_k": (13, 256, 176), "q6_k": (14, 256, 210), "iq4_nl": (20, 32, 18),
         "iq4_xs": (23, 256, 136), "mxfp4": (39, 32, 17)}
COLS = 512


def rows():
    """Rows of COLS values of one kind each."""
    rng = np.random.default_rng(7)

    def normal(deviation=0.02):
        return rng.standard_normal(COLS).astype(np.float32) * np.float32(deviation)

    yield normal()
    yield normal()
    yield (normal().view(np.uint32) & np.uint32(0xffff0000)).view(np.float32)  # bf16
    yield normal().astype(np.float16).astype(np.float32)
    yield np.round(normal(4)) / 8  # ties, several largest magnitudes
    yield np.round(normal(2))
    yield normal(0.3) ** 3  # outliers
    yield normal() * np.exp(normal(2))
    yield np.abs(normal())
    yield -np.abs(normal()) - np.float32(0.01)
    sparse = normal()
    sparse[rng.random(COLS) < 0.9] = 0
    sparse[64:128] = 0
    sparse[128:160] = 0.5  # a block of one value
    yield sparse
    yield normal() * np.repeat(np.exp(normal(1)[:COLS // 32]), 32)  # blocks of different sizes
    below = normal()  # just below powers of two
    below[::9] = np.nextafter(np.float32(2) ** rng.integers(-8, 0, COLS, dtype=np.int32)[::9]
                              .astype(np.float32), np.float32(0))
    yield below


def bitsandbytes_blocks(values, kind):
    """As our blocks of 64 have them: the largest magnitude, then the codes of elements 0 to 15 in
    low and those of 16 to 31 in high nibbles, then the other 32."""
    packed, state = bitsandbytes.functional.quantize_4bit(torch.from_numpy(values), blocksize=64,
                                                          quant_type=kind)
    pairs = packed.numpy().reshape(-1, 1)
    codes = np.hstack([pairs >> 4, pairs & 15]).reshape(-1, 2, 2, 16)
    nibbles = (codes[:, :, 0] | codes[:, :, 1] << 4).reshape(-1, 32)
    absmax = state.absmax.numpy().reshape(-1, 1).view(np.uint8)
    return np.hstack([absmax, nibbles]).reshape(len(values), -1)


def main():
    library = ctypes.CDLL(sys.argv[1])
    values = np.ascontiguousarray(np.stack(list(rows())).astype(np.float32))
    tensors = {"values": ("F32", values)}
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + \
        [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    for name, (number, length, size) in TYPES.items():
        blocks = np.zeros((len(values), COLS // length * size), np.uint8)
        library.ggml_quantize_chunk(number, values.ctypes.data, blocks.ctypes.data, 0, len(values),
                                    COLS, None)
        tensors[name] = ("U8", blocks)
    for name in ["nf4", "fp4"]:
        tensors[name] = ("U8", bitsandbytes_blocks(values, name))
    header, at = {}, 0
    for name, (kind, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": list(data.shape), "data_offsets": [at, at + data.nbytes]}
        at += data.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = pathlib.Path(__file__).resolve().parent / "data" / "encoded.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text +
                     b"".join(data.tobytes() for _, data in tensors.values()))


if __name__ == "__main__":
    main()
