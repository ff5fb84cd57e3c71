#!/usr/bin/env python3
"""A load on `serve`, over loopback: clients that stream to the end, leave at random, read slowly, send too much or
nonsense, or have a wrong key, all at once for a while; then idle connections, more than are allowed.

  tests/soak/serve.py PROGRAM [--seconds 600] [--clients 64] [--ranks 2] [--idle 10000] [--seed 1]

Each accepted request must end, and be answered as it was before the load. No slot may be left taken, and memory
and descriptors of every rank must be in the end what they were when the load had begun. Says every tenth of the time what
there is; the last lines count requests by kind. With 120 seconds or more some clients drip their headers."""
import argparse
import collections
import http.client
import json
import os
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

here = os.path.dirname(os.path.abspath(__file__))
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("program", type=os.path.abspath)
for name, default in ("seconds", 600), ("clients", 64), ("ranks", 2), ("idle", 10000), ("seed", 1):
    parser.add_argument(f"--{name}", type=int, default=default)
args = parser.parse_args()
# Open MPI as all tests have it
source = subprocess.check_output(["bash", "-c", f". '{here}/../mpi_env.sh'; env -0"], text=True)
os.environ.update(line.split("=", 1) for line in source.split("\0") if line.startswith("OMPI_"))
PROMPTS = ["KING HENRY:", "ROMEO: what light", "Now is the winter of", "O, ", "To be, or", "JULIET:"]
MAX_BODY = 64 << 10
MEMORY = 16 << 20  # bytes by which a rank may grow after the first fifth of the time
counts, wrong, lock = collections.Counter(), [], threading.Lock()


def failed(what):
    with lock:
        wrong.append(what)


class Server:
    def __init__(self, *options):
        self.folder = tempfile.TemporaryDirectory()
        self.keys = os.path.join(self.folder.name, "keys")
        with open(self.keys, "w") as f:
            f.write("a-key-of-some-length\n")
        os.chmod(self.keys, 0o600)
        launcher = [os.path.join(here, "../../launch/spillway-mpirun"), "-np", str(args.ranks)]
        self.errors = open(os.path.join(self.folder.name, "err"), "w+")
        self.process = subprocess.Popen(
            [*launcher, args.program, "serve", os.path.join(here, "../models/shakespeare"), "--port", "0", "--json",
             "--threads", "1", "--api-key-file", self.keys, "--max-body", str(MAX_BODY), *options],
            stdout=subprocess.PIPE, stderr=self.errors, stdin=subprocess.DEVNULL)
        text = b""
        while b"}" not in text:
            line = self.process.stdout.readline()
            if not line:
                self.errors.seek(0)
                sys.exit("serve.py: the server does not start: " + self.errors.read())
            text += line
        self.port = json.loads(text)["port"]
        self.ranks = [p for p in children(self.process.pid) if exe(p) == os.path.realpath(args.program)]
        assert len(self.ranks) == args.ranks, self.ranks

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        if code != 0:
            failed(f"the server ends with {code}")


def exe(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def children(pid):
    parents = collections.defaultdict(list)
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[int(open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()[1])].append(int(p))
        except OSError:
            pass
    out, todo = [], [pid]
    while todo:
        found = parents[todo.pop()]
        out += found
        todo += found
    return sorted(out)


def memory(pid):
    return int(open(f"/proc/{pid}/statm").read().split()[1]) * resource.getpagesize()


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def ask(port, path, body=None, key="a-key-of-some-length", timeout=120):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    c.request("GET" if body is None else "POST", path, body if isinstance(body, (bytes, type(None))) else json.dumps(body),
              {"Authorization": f"Bearer {key}"} if key else {})
    answer = c.getresponse()
    out = answer.status, answer.read()
    c.close()
    return out


def connect(port, request, buffer=None):
    s = socket.socket()
    s.settimeout(120)
    if buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    s.connect(("127.0.0.1", port))
    body = json.dumps(request).encode()
    s.sendall(b"POST /v1/completions HTTP/1.0\r\nAuthorization: Bearer a-key-of-some-length\r\n"
              b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return s


def request(rng, **more):
    return {"prompt": rng.choice(PROMPTS), "max_tokens": rng.randint(8, 120), "stream": True, "ignore_eos": True,
            "temperature": rng.choice((0, 1)), **more}


def stream(port, rng):
    read_all(connect(port, request(rng)))


def slow(port, rng):
    read_all(connect(port, request(rng, n=4, logprobs=3), 4096), lambda: time.sleep(0.02))


def read_all(s, pause=lambda: None):
    got = b""
    with s:
        while part := s.recv(4096):
            got += part
            pause()
    if b" 200 " in got[:20] and not got.endswith(b"data: [DONE]\n\n"):
        raise ValueError(f"a stream ends with {got[-200:]}")
    if b" 200 " not in got[:20] and b" 429 " not in got[:20]:
        raise ValueError(f"a stream is answered {got[:200]}")


def leave(port, rng):
    with connect(port, request(rng, n=rng.choice((1, 1, 8)))) as s:
        for _ in range(rng.randint(0, 8)):
            s.recv(512)


def too_much(port, rng):
    body = b'{"prompt": "%s"}' % (b"x" * rng.randint(MAX_BODY, 4 * MAX_BODY))
    if rng.random() < 0.5:
        status = ask(port, "/v1/completions", body)[0]
    else:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        c.request("POST", "/v1/completions", iter([body[i:i + 5000] for i in range(0, len(body), 5000)]),
                  {"Authorization": "Bearer a-key-of-some-length", "Transfer-Encoding": "chunked"}, encode_chunked=True)
        status = c.getresponse().status
        c.close()
    if status != 413:
        raise ValueError(f"a body that is too large is answered {status}")


def nonsense(port, rng):
    if rng.random() < 0.5:
        status = ask(port, "/v1/completions", rng.randbytes(rng.randint(0, 300)))[0]
        if status != 400:
            raise ValueError(f"nonsense is answered {status}")
        return
    with socket.create_connection(("127.0.0.1", port), timeout=120) as s:
        s.sendall(rng.choice((b"GET /", b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{",
                              b"\0\xff\r\n\r\n", b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")))
        s.shutdown(socket.SHUT_WR)
        while s.recv(65536):
            pass


def wrong_key(port, rng):
    status = ask(port, "/v1/completions", request(rng), key=rng.choice((None, "", "a-key-of-some-lengti", "x" * 3000)))[0]
    if status != 401:
        raise ValueError(f"a wrong key is answered {status}")


def pipelined(port, rng):
    n = rng.randint(2, 20)
    with socket.create_connection(("127.0.0.1", port), timeout=120) as s:
        s.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * n)
        got = b""
        while got.count(b"HTTP/1.1 200") < n or not got.endswith(b"}\n") and not got.endswith(b"}"):
            part = s.recv(65536)
            if not part:
                raise ValueError(f"{n} requests at once: closed after {got.count(b'HTTP/1.1 200')}")
            got += part


def drip(port, rng):
    """Slowloris: must be closed by the server within its time for headers (75 s)."""
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=2) as s:
        try:
            s.sendall(b"GET /health HTTP/1.1\r\n")
            while time.monotonic() < begin + 100:
                s.sendall(b"a")
                try:
                    if not s.recv(4096):
                        return
                except TimeoutError:
                    pass
        except (BrokenPipeError, ConnectionResetError):
            return
    raise ValueError("headers that drip are waited for longer than 100 s")


KINDS = {stream: 40, leave: 20, slow: 8, too_much: 6, nonsense: 10, wrong_key: 8, pipelined: 8}


def client(port, number, end):
    rng = random.Random(args.seed * 1000 + number)
    while time.monotonic() < end:
        kind = drip if number % 16 == 0 and args.seconds >= 120 and end - time.monotonic() > 105 else \
            rng.choices(list(KINDS), KINDS.values())[0]
        try:
            kind(port, rng)
        except (ConnectionResetError, BrokenPipeError) as e:
            if kind in (stream, slow, wrong_key, pipelined):
                failed(f"{kind.__name__}: {e!r}")
        except Exception as e:  # each is a finding
            failed(f"{kind.__name__}: {e!r}")
        with lock:
            counts[kind.__name__] += 1


def settle(server):
    for _ in range(600):
        text = ask(server.port, "/metrics")[1].decode()
        left = [line for line in text.splitlines() if line.startswith(
            ("spillway_requests_open ", "spillway_sequences_running ", "spillway_kv_positions ")) and not line.endswith(" 0")]
        if not left:
            return
        time.sleep(0.1)
    failed(f"after the load there is still {left}")


def greedy(server):
    return [ask(server.port, "/v1/completions", {"prompt": p, "max_tokens": 40, "temperature": 0})[1].split(b'"text":')[1].split(b'"logprobs"')[0]
            for p in PROMPTS]


def load():
    server = Server("--queue", "1000")
    before = greedy(server)
    fds = [descriptors(p) for p in server.ranks]
    end = time.monotonic() + args.seconds
    threads = [threading.Thread(target=client, args=(server.port, i, end)) for i in range(args.clients)]
    [t.start() for t in threads]
    samples = []  # (memory of each rank, descriptors of rank 0)
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(max(args.seconds / 100, 0.2), left))
        samples.append(([memory(p) for p in server.ranks], descriptors(server.ranks[0])))
        if len(samples) % 10 == 0:
            print(f"  {100 - 100 * left / args.seconds:.0f}%: {[m >> 20 for m in samples[-1][0]]} MiB, {samples[-1][1]} descriptors, "
                  f"{sum(counts.values())} requests", flush=True)
    [t.join(180) for t in threads]
    if any(t.is_alive() for t in threads):
        failed("a client still waits three minutes after the end")
    settle(server)
    if greedy(server) != before:
        failed("what is answered is not what it was before")
    time.sleep(1)
    for i, p in enumerate(server.ranks):
        n = len(samples)
        early = statistics.median(s[0][i] for s in samples[n // 6:n // 3 + 1])
        late = statistics.median(s[0][i] for s in samples[-(n // 5 + 1):])
        print(f"rank {i}: {early / 2**20:.1f} MiB early, {late / 2**20:.1f} late; descriptors {fds[i]} before, {descriptors(p)} after")
        if late > early + MEMORY:
            failed(f"rank {i} grew from {early} to {late} bytes")
        if descriptors(p) > fds[i]:
            failed(f"rank {i} had {fds[i]} descriptors, and has {descriptors(p)}")
    server.stop()


def idle():
    """More idle connections than are allowed, then as many as are there: all kept, and others served beside them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = min(args.idle, hard - 500)
    for most in 256, n + 100:
        server = Server("--max-connections", str(most))
        ask(server.port, "/health")
        before, held = memory(server.ranks[0]), []
        for _ in range(n):
            s = socket.socket()
            s.settimeout(5 if most > n else 1)
            held.append(s)
            try:
                s.connect(("127.0.0.1", server.port))
            except TimeoutError:  # nobody takes it, and the kernel's queue is full
                if most > n:
                    failed(f"of {n} idle connections {len(held)} are taken")
                break
        time.sleep(1)
        open_there, grown = descriptors(server.ranks[0]), memory(server.ranks[0]) - before
        begin = time.monotonic()
        served = 0
        if most > n:
            served = ask(server.port, "/v1/completions", {"prompt": "x", "max_tokens": 4})[0]
            if served != 200:
                failed(f"beside {n} idle connections: {served}")
        took = time.monotonic() - begin
        [s.close() for s in held]
        for _ in range(100):
            try:
                if ask(server.port, "/health", timeout=5)[0] == 200:
                    break
            except OSError:
                time.sleep(0.1)
        else:
            failed("after the idle connections nobody is served")
        print(f"{len(held)} idle connections of {most} allowed: {open_there} descriptors, {grown / 2**20:.1f} MiB more"
              + (f", an answer beside them in {took:.2f} s" if served else ""), flush=True)
        if open_there > most + 100 or grown > 16 << 20 and most < n or grown > n * 8192 + (32 << 20):
            failed(f"{open_there} descriptors and {grown} bytes for {n} connections of {most}")
        server.stop()


load()
if args.idle:
    idle()
print(*(f"{n} {kind}" for kind, n in sorted(counts.items())), sep=", ")
for what, n in collections.Counter(wrong).most_common(20):
    print(f"FAILED ({n} times): {what}")
sys.exit(1 if wrong else 0)
