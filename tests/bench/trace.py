#!/usr/bin/env python3
"""What `spillway trace` of many short texts keeps of the speed of prompts, and that no kill loses or repeats a row.

  tests/bench/trace.py PROGRAM [--model FOLDER] [--texts 10000] [--ranks 2] [--rounds 3] [-- OPTION...]

Each round runs `batch -n 1` (every prompt computed, one token each) and `trace` on the same prompts, lists of 16 to 32 ids
without a common beginning, of a Llama of made-up weights (hidden 256, 6 layers) unless a model is named. Medians of their prompt
tokens a second are compared. Then the trace is killed twice with SIGKILL, all ranks at once, and resumed: every text must have its
row once, and all files the bytes of the undisturbed trace. OPTIONs go to `trace` (default: --layers 1,-1). Prints one JSON; exits
with 1 when trace is below 0.80 of batch, or something differs."""
import argparse
import filecmp
import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time

a = argparse.ArgumentParser()
a.add_argument("program")
a.add_argument("--model")
a.add_argument("--texts", type=int, default=10000)
a.add_argument("--ranks", type=int, default=2)
a.add_argument("--rounds", type=int, default=3)
a.add_argument("--threads", type=int, default=1, help="of each rank")
words = sys.argv[1:] + ["--"]
o = a.parse_args(words[:words.index("--")])
o.options = words[words.index("--") + 1:-1]
options = o.options or ["--layers", "1,-1"]
program = os.path.abspath(o.program)
work = tempfile.TemporaryDirectory()
os.chdir(work.name)
environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256, "intermediate_size": 704,
          "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 4096,
          "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "torch_dtype": "bfloat16", "bos_token_id": 1, "eos_token_id": 2}
model = [o.model] if o.model else ["model", "--weights-from", "random"]
if not o.model:
    os.mkdir("model")
    json.dump(CONFIG, open("model/config.json", "w"))
random.seed(3)
with open("in.jsonl", "w") as f:
    for i in range(o.texts):
        ids = [random.randrange(3, 1000) for _ in range(random.randint(16, 32))]
        f.write(json.dumps({"id": i, "prompt": ids}) + "\n")


def command(verb, out, *more):
    return ["mpirun", "-np", str(o.ranks), "--map-by", "core", "--bind-to", "core", program, verb, *model, "in.jsonl", out,
            "--context", "64", "-t", str(o.threads), "--json", *more]


def run(verb, out, *more):
    r = subprocess.run(command(verb, out, *more), env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if r.returncode != 0:
        sys.exit(f"{verb}: exit code {r.returncode}\n{r.stderr}")
    return json.loads(r.stdout)


def kill_at(lines):
    """Starts the trace, and kills all its ranks when so many lines have their results."""
    p = subprocess.Popen(command("trace", "killed", *options), env=environment, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    while p.poll() is None:
        try:
            with open("killed/results.jsonl", "rb") as f:
                if sum(1 for _ in f) >= lines:
                    break
        except FileNotFoundError:
            pass
        time.sleep(0.005)
    children = subprocess.run(["pgrep", "-P", str(p.pid)], capture_output=True, text=True).stdout.split()
    for pid in children:
        os.kill(int(pid), signal.SIGKILL)
    p.wait()
    time.sleep(0.5)
    return len(children), sum(1 for _ in open("killed/results.jsonl"))


def cpu():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


speeds, seconds = {"batch": [], "trace": []}, {"batch": [], "trace": []}
for i in range(o.rounds):
    for verb, more in (("batch", ["-n", "1", "--ignore-end", "--temperature", "0"]), ("trace", options)):
        before = cpu()
        r = run(verb, "acts" if verb == "trace" else "answers.jsonl", "--fresh", *more)
        assert r["done"] == o.texts and r["failed"] == 0, r
        speeds[verb].append(r["prompt_tokens"] / r["seconds"])
        seconds[verb].append(round(cpu() - before, 2))
kills = [kill_at(o.texts // 4), kill_at(o.texts * 2 // 3)]
resumed = run("trace", "killed", *options)
names = [n for n in sorted(os.listdir("acts")) if not n.endswith(".job")]
same = filecmp.cmpfiles("acts", "killed", names, shallow=False)[0] == names
ids = [json.loads(l)["id"] for l in open("killed/results.jsonl")]
share = statistics.median(speeds["trace"]) / statistics.median(speeds["batch"])
print(json.dumps({"texts": o.texts, "batch_tokens_per_s": [round(s) for s in speeds["batch"]],
                  "trace_tokens_per_s": [round(s) for s in speeds["trace"]], "share": round(share, 3), "cpu_s": seconds,
                  "killed_ranks_and_lines": kills, "resumed_from": resumed["resumed"],
                  "once": ids == list(range(o.texts)), "same_bytes": same,
                  "files": [[n, os.path.getsize(f"acts/{n}")] for n in names]}))
sys.exit(not (share >= 0.8 and same and ids == list(range(o.texts)) and all(k[0] for k in kills)))
