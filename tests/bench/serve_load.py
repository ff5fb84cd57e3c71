#!/usr/bin/env python3
"""A load on `spillway serve`, over loopback only and bounded in clients and seconds.

  tests/bench/serve_load.py PROGRAM MODEL [--ranks 2] [--clients 16] [--seconds 30]

Clients stream, wait for whole answers, leave in the middle, read slowly, send what is too large, no JSON or
without a key. At the end every request must have ended, and rank 0 must have as many descriptors and about
as much memory as after the first tenth of the time. Prints the counts as JSON; exits with 1 when something
is left over. A model whose prompts are texts is needed; tests/models/shakespeare will do."""
import argparse
import atexit
import collections
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

a = argparse.ArgumentParser()
a.add_argument("program")
a.add_argument("model")
a.add_argument("--ranks", type=int, default=2)
a.add_argument("--clients", type=int, default=16)
a.add_argument("--seconds", type=float, default=30)
a.add_argument("--tokens", type=int, default=48)
o = a.parse_args()
o.clients, o.seconds = min(o.clients, 256), min(o.seconds, 900)
KEY = {"Authorization": "Bearer a-key-of-the-load-test"}
counts = collections.Counter()
lock = threading.Lock()


def count(what, n=1):
    with lock:
        counts[what] += n


def ask(body, headers=KEY, path="/v1/completions"):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    c.request("POST" if body is not None else "GET", path, body, headers)
    return c, c.getresponse()


def body(rng, **more):
    return json.dumps({"prompt": " ".join(rng.choices(["the", "king", "to", "be", "and", "thou"], k=rng.randint(1, 30))),
                       "max_tokens": rng.randint(1, o.tokens), "ignore_eos": True, **more})


def whole(rng):
    c, r = ask(body(rng, n=rng.choice([1, 1, 3]), logprobs=rng.choice([None, 2])))
    data = r.read()
    if r.status == 200:
        count("tokens", json.loads(data)["usage"]["completion_tokens"])
    return r.status


def stream(rng, leave=False, slow=False):
    c, r = ask(body(rng, stream=True, stream_options={"include_usage": True}))
    n = rng.randint(1, 8)
    last = b""
    while r.status == 200 and (line := r.readline()):
        n -= 1
        if leave and n == 0:
            c.close()
            r.close()
            return "left"
        if slow and n > 0:
            time.sleep(0.1)
        if b'"usage":{' in line:
            count("tokens", json.loads(line[6:])["usage"]["completion_tokens"])
        last = line if line != b"\n" else last
    return r.status if last == b"data: [DONE]\n" or r.status != 200 else "cut"


WAYS = [("whole", 4, whole), ("stream", 4, stream),
        ("leave", 2, lambda rng: stream(rng, leave=True)),
        ("slow", 1, lambda rng: stream(rng, slow=True)),
        ("large", 1, lambda rng: ask(b"x" * 100000)[1].status),
        ("torn", 1, lambda rng: ask(body(rng)[:-3])[1].status),
        ("no key", 1, lambda rng: ask(body(rng), {})[1].status)]
GOOD = {"whole": {200, 429}, "stream": {200, 429}, "leave": {"left", 200, 429}, "slow": {200, 429},
        "large": {413, "closed"}, "torn": {400, 429}, "no key": {401}}


def client(seed):
    rng = random.Random(seed)
    while time.time() < end:
        name, _, way = rng.choices(WAYS, [w[1] for w in WAYS])[0]
        try:
            got = way(rng)
        except ConnectionError:
            got = "closed"
        count(f"{name}: {got}")
        if got not in GOOD[name]:
            count("wrong")


def metric(name):
    _, r = ask(None, path="/metrics")
    return next(float(line.split()[-1]) for line in r.read().decode().splitlines() if line.startswith(name + " "))


def state():
    """Descriptors and KiB of rank 0."""
    rss = next(int(line.split()[1]) for line in open(f"/proc/{rank0}/status") if line.startswith("VmRSS"))
    return len(os.listdir(f"/proc/{rank0}/fd")), rss


work = tempfile.TemporaryDirectory()
with open(f"{work.name}/keys", "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
    f.write(KEY["Authorization"].split()[1])
command = [o.program, "serve", o.model, "--port", "0", "--json", "--max-body", "64KiB",
           "--api-key-file", f"{work.name}/keys"]
if o.ranks > 1:
    here = os.path.dirname(os.path.abspath(__file__))
    command = [f"{here}/../../launch/spillway-mpirun", "-np", str(o.ranks), *command]
server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
text = ""
while "}" not in text and (line := server.stdout.readline()):
    text += line
port = json.loads(text)["port"]


def listens(pid, inode):
    try:
        return any(os.readlink(f"/proc/{pid}/fd/{d}") == f"socket:[{inode}]" for d in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


atexit.register(lambda: server.poll() is None and server.send_signal(signal.SIGTERM))
inode = next(line.split()[9] for line in open("/proc/net/tcp")
             if line.split()[1] == f"0100007F:{port:04X}" and line.split()[3] == "0A")
rank0 = next(p for p in os.listdir("/proc") if p.isdigit() and listens(p, inode))
begin = time.time()
end = begin + o.seconds
threads = [threading.Thread(target=client, args=(i,), daemon=True) for i in range(o.clients)]
[t.start() for t in threads]
time.sleep(o.seconds / 10)
first = state()
[t.join(o.seconds + 180) for t in threads]
seconds = time.time() - begin
left = sum(t.is_alive() for t in threads)
deadline = time.time() + 30
while time.time() < deadline and (metric("spillway_requests_open") or metric("spillway_http_connections") > 1):
    time.sleep(0.1)
open_, running, last = metric("spillway_requests_open"), metric("spillway_sequences_running"), state()
server.send_signal(signal.SIGTERM)
code = server.wait(60)
result = {"clients": o.clients, "ranks": o.ranks, "seconds": round(seconds, 1), **counts,
          "tokens_per_s": round(counts["tokens"] / seconds, 1), "open": open_, "running": running,
          "descriptors": [first[0], last[0]], "rss_KiB": [first[1], last[1]], "exit": code}
print(json.dumps(result, indent=1))
bad = counts["wrong"] or left or open_ or running or code or last[0] > first[0] or last[1] > first[1] * 1.3 + 20000
sys.exit(1 if bad else 0)
