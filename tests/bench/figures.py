#!/usr/bin/env python3
"""Turns what the benchmarked programs print into records, and records into tables of medians.

A record is one line `cell <tab> program <tab> figure <tab> value`: cell names what was asked
("bf16 2" is format and threads), figure what was measured. One record per figure and round.

  figures.py read spillway|llama-bench|batched-bench CELL PROGRAM FILE [FIGURE …]
                                             JSON to records, on stdout; all figures, or these
  figures.py peers|quantized|contention|ranks|first_token|batch|links|load|disk|strangers
                                             RECORDS
                                             records to a table; exit 1: target missed
"""
import json
import statistics
import sys

SPILLWAY = {  # figure: field of `spillway bench --json`
    "decode": "tokens_per_s",
    "prefill": "prompt_tokens_per_s",
    "decode_share": "decode_share",
    "prompt_share": "prompt_share",
    "bandwidth": "read_bandwidth",
    "peak": "peak_flops",
}
TARGETS = {  # what the tables judge by; docs and README of this folder name the same figures
    "decode of bandwidth": 0.95,
    "prefill of bf16 peak": 0.85,
    "decode of better peer": 1.00,
    "prefill of ik": 1.05,
    "kept": 0.50,
    "two ranks of one": 0.95,
    "first token, s": 1.0,
    "two ranks of one, 64 sequences": 0.95,
    "two ranks of their limit, 16 sequences": 0.90,
    "batched of llama.cpp, 16 sequences": 1.50,
    "two ranks of rpc, 64 sequences": 2.5,
    "busy on slow links": 0.85,
    "beside strangers": 0.98,
    "cold of limit": 0.85,
    "layers from disk of the reader": 0.90,
    "quantized decode of bandwidth, one thread": 0.85,
    "quantized decode of bandwidth": 0.92,
    "quantized decode of better peer": 1.15,
    "quantized prefill of better peer": 1.50,
    "quantized sequences of better peer": 2.00,
}


def fail(text):
    sys.exit(f"figures.py: {text}")


def read_spillway(text):
    document = json.loads(text)
    missing = [field for field in ("tokens_per_s",) if field not in document]
    if missing:
        fail(f"spillway's JSON has no {missing[0]}; it has {', '.join(sorted(document))}")
    figures = {name: document[field] for name, field in SPILLWAY.items() if field in document}
    busy = [rank["busy"] for rank in document.get("ranks", []) if rank.get("count")]
    if busy:
        figures["least busy"] = min(busy)
    return figures


def read_llama_bench(text):
    figures = {}
    for test in json.loads(text):
        prompt, new = test["n_prompt"], test["n_gen"]
        if prompt and new:
            continue
        figures["prefill" if prompt else "decode"] = test["avg_ts"]
    if not figures:
        fail("llama-bench's JSON has neither a prompt test nor a generation test")
    return figures


def read_batched_bench(text):
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    if lines:
        return {"prefill": lines[-1]["speed_pp"], "decode": lines[-1]["speed_tg"]}
    # ik_llama.cpp has a table instead: PP, TG, B, N_KV, T_PP, S_PP, T_TG, S_TG, T, S
    rows = [line.strip(" |").split("|") for line in text.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if len(row) == 10 and row[0].strip().isdigit()]
    if not rows:
        fail("llama-batched-bench printed neither a JSON line nor a row of its table")
    return {"prefill": float(rows[-1][5]), "decode": float(rows[-1][7])}


def read(kind, cell, program, path, *wanted):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        figures = READERS[kind](text)
    except ValueError as error:
        fail(f"{path} is not JSON: {error}")
    for figure, value in figures.items():
        if value is not None and (not wanted or figure in wanted):
            print(cell, program, figure, value, sep="\t")


READERS = {"spillway": read_spillway, "llama-bench": read_llama_bench,
           "batched-bench": read_batched_bench}


class Records:
    """values[cell][program][figure] is the list over rounds; order is that of first appearance."""

    def __init__(self, path):
        self.values = {}
        with open(path, encoding="utf-8") as file:
            for line in file:
                cell, program, figure, value = line.rstrip("\n").split("\t")
                place = self.values.setdefault(cell, {}).setdefault(program, {})
                place.setdefault(figure, []).append(float(value))
        if not self.values:
            fail(f"{path} holds no records")

    def median(self, cell, program, figure):
        got = self.values[cell].get(program, {}).get(figure)
        return statistics.median(got) if got else None

    def spread(self, cell, program, figure):
        """Half of (largest - smallest), as a share of the median."""
        got = self.values[cell].get(program, {}).get(figure)
        if not got or len(got) < 2 or not statistics.median(got):
            return None
        return (max(got) - min(got)) / 2 / statistics.median(got)

    def programs(self):
        seen = {}
        for cell in self.values.values():
            seen.update(dict.fromkeys(cell))
        return list(seen)


def number(value, form="{:.2f}"):
    return "–" if value is None else form.format(value)


def ratio(a, b):
    return a / b if a is not None and b else None


def percent(value):
    return number(None if value is None else 100 * value, "{:.0f}%")


def print_table(head, rows):
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        line = [text.ljust(width) if i == 0 else text.rjust(width)
                for i, (text, width) in enumerate(zip(row, widths))]
        print("  ".join(line).rstrip())


class Verdict:
    """Collects what missed its target and says so at the end."""

    def __init__(self):
        self.missed = []
        self.judged = 0

    def at_least(self, what, target, value):
        if value is None:
            return
        self.judged += 1
        if value < TARGETS[target]:
            self.missed.append(f"{what}: {value:.3f}, wanted at least {TARGETS[target]:.2f}")

    def at_most(self, what, target, value):
        if value is None:
            return
        self.judged += 1
        if value > TARGETS[target]:
            self.missed.append(f"{what}: {value:.3f}, wanted at most {TARGETS[target]:.2f}")

    def close(self):
        print(f"\n{self.judged - len(self.missed)} of {self.judged} targets met")
        for line in self.missed:
            print(f"  missed: {line}")
        return 1 if self.missed else 0


def peers(records):
    verdict = Verdict()
    programs = records.programs()
    others = [name for name in programs if name != "spillway"]
    for phase, share, limit in (("decode", "decode_share", "bandwidth"),
                                ("prefill", "prompt_share", "peak")):
        if not any(records.median(cell, "spillway", phase) for cell in records.values):
            continue  # peers.sh -p 0
        head = [f"{phase}, tokens/s", *programs, *(f"ours/{name}" for name in others),
                f"of {limit}", "± ours"]
        rows = []
        for cell in records.values:
            got = {name: records.median(cell, name, phase) for name in programs}
            of_limit = records.median(cell, "spillway", share)
            rows.append([cell, *(number(got[name]) for name in programs),
                         *(number(ratio(got["spillway"], got[name])) for name in others),
                         percent(of_limit), percent(records.spread(cell, "spillway", phase))])
            judge_peers(verdict, cell, phase, got, of_limit)
        print_table(head, rows)
        print()
    rows = [[cell, number(records.median(cell, "spillway", "bandwidth"), "{:.3g}"),
             number(records.median(cell, "spillway", "peak"), "{:.3g}")]
            for cell in records.values]
    print_table(["limits, by spillway bench", "read bytes/s", "multiply-add flop/s"], rows)
    return verdict.close()


def quantized(records):
    """Cells are "MODEL t=THREADS" and "MODEL xSEQUENCES"."""
    verdict = Verdict()
    programs = records.programs()
    for phase, figure, mark in (("decode", "decode", " t="), ("prefill", "prefill", " t="),
                                ("sequences", "decode", " x")):
        rows = []
        for cell in records.values:
            got = {name: records.median(cell, name, figure) for name in programs}
            if mark not in cell or got["spillway"] is None:
                continue
            better = max((value for name, value in got.items() if name != "spillway" and value),
                         default=None)
            share = records.median(cell, "spillway", "decode_share") if phase == "decode" else None
            rows.append([cell, *(number(got[name]) for name in programs),
                         number(ratio(got["spillway"], better)), percent(share),
                         percent(records.spread(cell, "spillway", figure))])
            verdict.at_least(f"{cell} {phase} over the better peer",
                             f"quantized {phase} of better peer", ratio(got["spillway"], better))
            verdict.at_least(f"{cell} decode of read bandwidth", "quantized decode of bandwidth" +
                             (", one thread" if cell.endswith(" t=1") else ""), share)
        if rows:
            print_table([f"{phase}, tokens/s", *programs, "ours/better", "of bandwidth", "± ours"],
                        rows)
            print()
    return verdict.close()


def is_lossy(cell, name):
    """ik_llama.cpp repacks f16 files to bf16: three bits of each weight are gone."""
    return cell.startswith("f16") and name == "ik repacked"


def judge_peers(verdict, cell, phase, got, of_limit):
    rivals = {name: value for name, value in got.items()
              if name != "spillway" and value and not is_lossy(cell, name)}
    if phase == "decode":
        verdict.at_least(f"{cell} decode of read bandwidth", "decode of bandwidth", of_limit)
        verdict.at_least(f"{cell} decode over the better peer", "decode of better peer",
                         ratio(got["spillway"], max(rivals.values(), default=None)))
        return
    if cell.startswith("bf16"):
        verdict.at_least(f"{cell} prefill of peak", "prefill of bf16 peak", of_limit)
    ik = [value for name, value in rivals.items() if name.startswith("ik")]
    verdict.at_least(f"{cell} prefill over ik", "prefill of ik",
                     ratio(got["spillway"], max(ik, default=None)))


def contention(records):
    verdict = Verdict()
    loads = [cell for cell in records.values if cell != "quiet"]
    head = ["decode, tokens/s", "quiet", *(text for load in loads for text in (load, "kept"))]
    rows = []
    for program in records.programs():
        quiet = records.median("quiet", program, "decode")
        row = [program, number(quiet)]
        for load in loads:
            got = records.median(load, program, "decode")
            row += [number(got), percent(ratio(got, quiet))]
            if program.startswith("spillway"):
                verdict.at_least(f"{program}, {load}: share kept", "kept", ratio(got, quiet))
        rows.append(row)
    print_table(head, rows)
    return verdict.close()


def ranks(records):
    verdict = Verdict()
    rows = []
    for cell in records.values:
        one = records.median(cell, "1 rank", "decode")
        two = records.median(cell, "2 ranks", "decode")
        rows.append([cell, number(one), number(two), number(ratio(two, one), "{:.3f}"),
                     percent(records.spread(cell, "1 rank", "decode")),
                     percent(records.spread(cell, "2 ranks", "decode"))])
        verdict.at_least(f"{cell} two ranks of one", "two ranks of one", ratio(two, one))
    print_table(["decode, tokens/s", "1 rank", "2 ranks", "2/1", "± 1", "± 2"], rows)
    return verdict.close()


def first_token(records):
    verdict = Verdict()
    rows = []
    for cell in records.values:
        typed = records.median(cell, "spillway", "from_mpirun")
        ready = records.median(cell, "spillway", "from_ranks")
        rows.append([cell, number(ready), number(typed),
                     percent(records.spread(cell, "spillway", "from_ranks"))])
        verdict.at_most(f"{cell} from the start of the ranks", "first token, s", ready)
    print_table(["seconds to the first text", "from start of ranks", "from mpirun", "±"], rows)
    return verdict.close()


def batch(records):
    verdict = Verdict()
    for phase in ("decode", "prefill"):
        rows = []
        for cell in records.values:
            one, two, limit, llama, rpc = (
                records.median(cell, name, phase) for name in
                ("1 rank", "2 ranks", "limit of 2", "llama.cpp", "llama.cpp rpc"))
            rows.append([cell, number(one), number(two), number(llama), number(rpc),
                         number(ratio(two, one)), percent(ratio(two, limit)),
                         number(ratio(one, llama)),
                         number(ratio(two, rpc)), percent(records.spread(cell, "1 rank", phase)),
                         percent(records.spread(cell, "2 ranks", phase))])
            if phase == "decode" and cell.endswith("x64"):
                verdict.at_least(f"{cell} two ranks of one", "two ranks of one, 64 sequences",
                                 ratio(two, one))
                verdict.at_least(f"{cell} two ranks of llama.cpp rpc",
                                 "two ranks of rpc, 64 sequences", ratio(two, rpc))
            if phase == "decode" and cell.endswith("x16"):
                verdict.at_least(f"{cell} two ranks of their limit",
                                 "two ranks of their limit, 16 sequences", ratio(two, limit))
                verdict.at_least(f"{cell} one rank of llama.cpp",
                                 "batched of llama.cpp, 16 sequences", ratio(one, llama))
        print_table([f"{phase}, tokens/s", "1 rank", "2 ranks", "llama.cpp", "its rpc", "2/1",
                     "2/limit", "1/llama", "2/rpc", "± 1", "± 2"], rows)
        print()
    return verdict.close()


def links(records):
    verdict = Verdict()
    rows = []
    for cell in records.values:
        fast, slow, busy, before = (records.median(cell, name, figure) for name, figure in
                                    (("fast", "decode"), ("slow", "decode"),
                                     ("slow", "least busy"), ("fast", "least busy")))
        rows.append([cell, number(fast), number(slow), number(ratio(slow, fast)), percent(before),
                     percent(busy), percent(records.spread(cell, "slow", "decode"))])
        verdict.at_least(f"{cell} least busy stage on slow links", "busy on slow links", busy)
    print_table(["decode, tokens/s", "fast links", "slow links", "slow/fast", "least busy, fast",
                 "least busy, slow", "± slow"], rows)
    return verdict.close()


def strangers(records):
    verdict = Verdict()
    rows = []
    for cell in records.values:
        alone = records.median(cell, "alone", "batch")
        beside = records.median(cell, "strangers", "batch")
        rows.append([cell, number(alone), number(beside), number(ratio(beside, alone), "{:.3f}"),
                     percent(records.spread(cell, "alone", "batch")),
                     percent(records.spread(cell, "strangers", "batch"))])
        verdict.at_least(f"{cell} beside strangers", "beside strangers", ratio(beside, alone))
    print_table(["batch, tokens/s", "alone", "strangers", "kept", "± alone", "± strangers"], rows)
    return verdict.close()


def load(records):
    verdict = Verdict()
    rows = []
    for cell in records.values:
        reader, fresh, cold, warm = (records.median(cell, "spillway", name)
                                  for name in ("reader", "fresh", "cold", "warm"))
        limit = reader and fresh and min(reader, fresh)
        rows.append([cell, *(number(x and x / 1e9) for x in (reader, fresh, cold, warm)),
                     number(ratio(cold, reader)), number(ratio(cold, limit)),
                     percent(records.spread(cell, "spillway", "cold"))])
        verdict.at_least(f"{cell} cold of the limit", "cold of limit", ratio(cold, limit))
    print_table(["GB/s", "reader", "fresh memory", "cold", "warm", "cold of it", "of the lesser",
                 "± cold"], rows)
    return verdict.close()


def disk(records):
    verdict = Verdict()
    rows, others = [], []
    for cell in records.values:
        reader, ours = (records.median(cell, name, "read") for name in ("reader", "spillway"))
        tokens = records.median(cell, "spillway", "decode")
        times = records.median(cell, "spillway", "predicted")
        rows.append([cell, number(reader and reader / 1e9), number(ours and ours / 1e9),
                     number(ratio(ours, reader)), number(tokens, "{:.3f}"), number(times),
                     percent(records.spread(cell, "spillway", "read"))])
        for peer in ("llama.cpp", "accelerate", "airllm"):
            speed, read_too = records.median(cell, peer, "decode"), records.median(cell, peer, "read")
            if speed:
                others.append([cell, peer, number(speed, "{:.3f}"), number(read_too and read_too / 1e9),
                               number(ratio(tokens, speed))])
        verdict.at_least(f"{cell} of the reader", "layers from disk of the reader", ratio(ours, reader))
    print_table(["from disk", "reader, GB/s", "GB/s", "of it", "tokens/s", "predicted / measured s",
                 "± ours"], rows)
    if others:
        print_table(["same memory", "program", "tokens/s", "GB/s", "ours over it"], others)
    return verdict.close()


def main(arguments):
    tables = {"peers": peers, "quantized": quantized, "contention": contention, "ranks": ranks,
              "first_token": first_token, "batch": batch, "links": links, "load": load,
              "disk": disk, "strangers": strangers}
    if len(arguments) >= 5 and arguments[0] == "read" and arguments[1] in READERS:
        return read(*arguments[1:])
    if len(arguments) == 2 and arguments[0] in tables:
        return tables[arguments[0]](Records(arguments[1]))
    return fail(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
