#!/usr/bin/env python3
"""What `spillway serve` keeps of the speed of `batch`, and how soon an idle server's first token comes.

  tests/bench/serve_batch.py PROGRAM [--layers 6] [--hidden 2048] [--ranks 2] [--clients 64] [--rounds 3] [-- OPTION...]

Each round runs `batch` and `serve` on the same prompts (lists of 16 to 32 ids, two for each client, without a common beginning),
greedy, ends ignored, so both generate the same number of tokens; OPTIONs go to both. Clients are connections of one process on this
machine that ask for streams, each anew when its stream has ended; what they take of the processors is the server's loss. Tokens a
second are compared: batch's of its own `seconds` (without loading), serve's from the first connection to the last stream's end. The
texts of the streams must be batch's.

Then `run` reads a prompt of --prompt ids, as often as there are rounds, and the server, idle and loaded, is asked for as long a one by
one client: from its connect until the first event has come, beside run's own time from the ids to the first token, loading left out.
Each of the server's prompts is another one, as it would remember them.

The model is a Llama of made-up weights with the tokenizer of tests/models/shakespeare. Prints one JSON; exits with 1 when
throughput is below 0.95 of batch's, the first token above 1.1 of run's, or a text differs."""
import argparse
import json
import os
import random
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument("program")
for name, default in (("layers", 6), ("hidden", 2048), ("ranks", 2), ("threads", 1), ("clients", 64), ("tokens", 32),
                      ("rounds", 3), ("prompt", 512)):
    a.add_argument(f"--{name}", type=int, default=default)
words = sys.argv[1:] + ["--"]
o = a.parse_args(words[:words.index("--")])
o.options = words[words.index("--") + 1:-1]
program = os.path.abspath(o.program)
work = tempfile.TemporaryDirectory()
os.chdir(work.name)
os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
shakespeare = os.path.join(here, "../models/shakespeare")
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": o.hidden,
          "intermediate_size": o.hidden * 11 // 4, "num_hidden_layers": o.layers, "num_attention_heads": o.hidden // 64,
          "num_key_value_heads": max(o.hidden // 512, 1), "vocab_size": 1024, "max_position_embeddings": 2048,
          "rms_norm_eps": 1e-5, "torch_dtype": "bfloat16", "bos_token_id": 0, "eos_token_id": 0}
os.mkdir("model")
json.dump(CONFIG, open("model/config.json", "w"))
for name in "tokenizer.json", "tokenizer_config.json":
    os.symlink(os.path.join(shakespeare, name), f"model/{name}")
rng = random.Random(3)


def ids(n):
    return [rng.randrange(1, 1024) for _ in range(n)]


REQUESTS = [{"prompt": ids(rng.randint(16, 32)), "max_tokens": o.tokens, "temperature": 0, "ignore_eos": True}
            for _ in range(2 * o.clients)]
with open("in.jsonl", "w") as f:
    for i, r in enumerate(REQUESTS):
        f.write(json.dumps({"id": i, **r}) + "\n")


def command(verb, *more):
    return ["mpirun", "-np", str(o.ranks), "--map-by", "core", "--bind-to", "core", program, verb, "model", *more,
            "--weights-from", "random", "-t", str(o.threads), "--context", str(o.prompt + 32), "--json", *o.options]


def call(verb, *more):
    r = subprocess.run(command(verb, *more), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if r.returncode != 0:
        sys.exit(f"{verb}: exit code {r.returncode}\n{r.stderr}")
    return json.loads(r.stdout)


def batch():
    r = call("batch", "in.jsonl", "out.jsonl", "--fresh")
    texts = {}
    for line in open("out.jsonl"):
        one = json.loads(line)
        texts[one["id"]] = one["text"]
    return r["generated_tokens"] / r["seconds"], [texts[i] for i in range(len(REQUESTS))], r["slots"]


def post(port, request):
    body = json.dumps({**request, "stream": True}).encode()
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(b"POST /v1/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return s


def text_of(stream):
    lines = stream.split(b"\n")
    if b" 200 " not in lines[0] or b"data: [DONE]" not in lines:
        sys.exit(f"a stream is {stream[:300]}")
    return "".join(json.loads(line[6:])["choices"][0]["text"] for line in lines if line.startswith(b"data: {"))


def streams(port):
    """All prompts, at most as many at once as there are clients. Tokens a second, and each stream's text."""
    got, waiting, begin = [[] for _ in REQUESTS], list(range(len(REQUESTS)))[::-1], time.monotonic()
    with selectors.DefaultSelector() as selector:
        for _ in range(o.clients):
            i = waiting.pop()
            selector.register(post(port, REQUESTS[i]), selectors.EVENT_READ, got[i])
        while selector.get_map():
            for key, _ in selector.select():
                part = key.fileobj.recv(65536)
                key.data.append(part)
                if part:
                    continue
                selector.unregister(key.fileobj)
                key.fileobj.close()
                if waiting:
                    i = waiting.pop()
                    selector.register(post(port, REQUESTS[i]), selectors.EVENT_READ, got[i])
    seconds = time.monotonic() - begin
    return len(REQUESTS) * o.tokens / seconds, [text_of(b"".join(g)) for g in got]


def first(port):
    """Seconds to the first event of an idle server's stream."""
    request = {"prompt": ids(o.prompt), "max_tokens": 4, "temperature": 0, "ignore_eos": True}
    time.sleep(0.3)
    begin, got = time.monotonic(), b""
    with post(port, request) as s:
        while b"data: " not in got:
            got += s.recv(65536)
        seconds = time.monotonic() - begin
        while s.recv(65536):
            pass
    return seconds


def serve():
    p = subprocess.Popen(command("serve", "--port", "0"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         stdin=subprocess.DEVNULL)
    text = ""
    while "}" not in text:
        line = p.stdout.readline()
        if not line:
            sys.exit("serve: " + p.stderr.read())
        text += line
    port = json.loads(text)["port"]
    first(port)  # memory is touched for the first time, as batch's is before it counts
    firsts = [first(port) for _ in range(3)]
    speed, texts = streams(port)
    p.send_signal(signal.SIGTERM)
    p.communicate(timeout=60)
    return speed, texts, firsts


def run():
    r = call("run", "--tokens", ",".join(map(str, ids(o.prompt))), "-n", "4", "--ignore-end")
    return r["prompt_tokens"] / r["prompt_tokens_per_s"]


speeds, firsts, same = {"batch": [], "serve": []}, {"run": [], "serve": []}, True
for _ in range(o.rounds):
    speed, expected, slots = batch()
    speeds["batch"].append(speed)
    speed, texts, seconds = serve()
    speeds["serve"].append(speed)
    firsts["serve"] += seconds
    firsts["run"].append(run())
    same = same and texts == expected
    print(f"batch {speeds['batch'][-1]:.1f} tokens/s, serve {speed:.1f}; first token: run {firsts['run'][-1]:.4f} s, serve "
          f"{statistics.median(seconds):.4f} s", file=sys.stderr)
share = statistics.median(speeds["serve"]) / statistics.median(speeds["batch"])
late = statistics.median(firsts["serve"]) / statistics.median(firsts["run"])
print(json.dumps({"clients": o.clients, "slots": slots, "tokens": len(REQUESTS) * o.tokens,
                  "batch_tokens_per_s": [round(s, 1) for s in speeds["batch"]],
                  "serve_tokens_per_s": [round(s, 1) for s in speeds["serve"]], "share": round(share, 3),
                  "run_first_s": [round(s, 4) for s in firsts["run"]],
                  "serve_first_s": [round(s, 4) for s in firsts["serve"]], "first": round(late, 3), "same_texts": same}))
sys.exit(not (share >= 0.95 and late <= 1.1 and same))
