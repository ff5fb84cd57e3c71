#!/usr/bin/env python3
"""How far logits of GGUF files are from the exact product, here and by llama.cpp.

    accuracy.py [--formats q8_0,q4_k,…] [--seeds 6] [--ids 64] [--text FILE MODEL.gguf …]

Random Llamas of 4 layers and 512 columns are written in each format by `spillway quantize`, every
matrix in it; MODEL.gguf, of Llama's architecture, are compared as they are, on pieces of the text.
The exact logits are those of the decoded weights in f64 (exact.py). Both programs keep the KV cache
in f32, so what differs is the products. Printed:
the largest error and the root of the mean square, of all ids and seeds, as shares of the largest
logit; exit status 1 where a largest one of a random model is above 2e-2, or a root more than 10%
above llama.cpp's (with other seeds it moves by some 5%).

Needs numpy and llama.cpp's gguf package. Environment:
  SPILLWAY    the program (build/spillway of this tree)
  LLAMA_CPP   llama.cpp's sources, with build/bin/libllama.so in them; none: its columns are empty
"""

import argparse
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np

here = pathlib.Path(__file__).resolve().parent
spillway = os.environ.get("SPILLWAY", str(here.parents[1] / "build/spillway"))
peer = os.environ.get("LLAMA_CPP")
if peer:
    sys.path.insert(0, peer + "/gguf-py")
import exact  # noqa: E402

FORMATS = "f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs mxfp4".split()
LIMIT, SLACK = 2e-2, 1.1


def call(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr[-2000:]}")


def logits_here(work, model, ids):
    path = work / "trace.safetensors"
    call(spillway, "trace", "-q", str(model), "--tokens", ",".join(map(str, ids)), "--dump", str(path), "--kv", "f32")
    raw = path.read_bytes()
    path.unlink()
    n = int.from_bytes(raw[:8], "little")
    entry = json.loads(raw[8 : 8 + n])["logits"]
    begin, end = entry["data_offsets"]
    return np.frombuffer(raw[8 + n + begin : 8 + n + end], np.float32).reshape(entry["shape"])


def pieces_of(model, text, n):
    """The first n ids of the text and of what begins at each further eighth of it."""
    for eighth in range(8):
        begin = len(text) * eighth // 8
        done = subprocess.run([spillway, "tokens", model], input=text[begin : begin + 8 * n], capture_output=True, text=True)
        yield [int(id) for id in done.stdout.split()][:n]


def build_peer(work):
    bin = peer + "/build/bin"
    call("cc", "-O1", f"-I{peer}/include", f"-I{peer}/ggml/include", str(here / "llama_logits.c"), f"-L{bin}",
         "-lllama", "-lggml", "-lggml-base", f"-Wl,-rpath,{bin}", "-o", str(work / "llama_logits"))  # fmt: skip


def logits_there(work, model, ids):
    call(str(work / "llama_logits"), str(model), str(work / "logits"), *map(str, ids))
    return np.fromfile(work / "logits", np.float32).reshape(len(ids), -1)


class Errors:
    """Of several models; each as a share of its largest exact logit."""

    def __init__(self):
        self.largest, self.squares, self.count = 0.0, 0.0, 0

    def add(self, logits, exact_logits):
        gap = np.abs(logits - exact_logits) / np.abs(exact_logits).max()
        self.largest = max(self.largest, float(gap.max()))
        self.squares += float((gap * gap).sum())
        self.count += gap.size

    def root(self):
        return math.sqrt(self.squares / self.count) if self.count else math.nan


def measure(work, name, samples, limit):
    """samples: pairs of a model and ids"""
    ours, theirs = Errors(), Errors()
    for model, ids in samples:
        e = exact.Exact(model).logits(ids)
        ours.add(logits_here(work, model, ids), e)
        if peer:
            theirs.add(logits_there(work, model, ids), e)
    good = ours.largest <= limit and not ours.root() > SLACK * theirs.root()
    cells = [f"{e.largest:.1e} | {e.root():.1e}" if e.count else " | " for e in (ours, theirs)]
    print(f"| {name} | {cells[0]} | {cells[1]} |{'' if good else ' <- missed'}", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--ids", type=int, default=64)
    parser.add_argument("--text", type=pathlib.Path)
    parser.add_argument("models", nargs="*")
    args = parser.parse_args()
    ids = [random.Random(5).randrange(3, 1024) for _ in range(args.ids)]
    print("| | largest error | root mean square | llama.cpp: largest | root mean square |\n|---|---|---|---|---|")
    good = True
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        if peer:
            build_peer(work)
        for format in filter(None, args.formats.split(",")):
            models = []
            for seed in range(args.seeds):
                if not (work / str(seed)).exists():
                    exact.make_random(work / str(seed), seed)
                models.append(work / f"{format}-{seed}.gguf")
                all_in_it = f"{format},head={format},embedding={format}"
                call(spillway, "quantize", "-q", str(work / str(seed)), str(models[-1]), "--weights", all_in_it)
            good &= measure(work, format, [(model, ids) for model in models], LIMIT)
            for model in models:
                model.unlink()
        for model in args.models:
            pieces = [(model, piece) for piece in pieces_of(model, args.text.read_text(), args.ids)]
            good &= measure(work, pathlib.Path(model).name, pieces, math.inf)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
