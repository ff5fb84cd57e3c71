"""Asks a server of `spillway serve` as its clients do. Used by test_serve.sh:
serve_checks.py PORT CHECK [ARGUMENT…] prints what is wrong and exits with 1."""
import http.client
import json
import socket
import struct
import sys
import threading

port = int(sys.argv[1])


def ask(path, body=None, method=None, headers=None, timeout=60):
    """(status, headers, body as bytes)"""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    connection.request(method or ("GET" if body is None else "POST"), path, data, headers or {})
    answer = connection.getresponse()
    out = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return out


def answer(path, body=None, **more):
    status, _, data = ask(path, body, **more)
    assert status == 200, (path, body, status, data)
    return json.loads(data)


def complete(prompt, **more):
    return answer("/v1/completions", {"prompt": prompt, "temperature": 0, **more})


def same_float(a, b):
    return struct.pack("f", a) == struct.pack("f", b)


def texts(prompt, expected, ids):
    """Text, ids and lists of either continue as `run` does."""
    ids = [int(i) for i in ids.split()]
    for given in prompt, ids, [prompt], [ids]:
        got = complete(given, max_tokens=12)
        assert got["object"] == "text_completion" and got["id"].startswith("cmpl-"), got
        assert got["choices"][0]["text"] == expected, (given, got, expected)
        assert got["choices"][0]["finish_reason"] == "length"
        assert got["usage"] == {"prompt_tokens": len(ids), "completion_tokens": 12,
                                "total_tokens": len(ids) + 12}, got
    got = complete(["the", prompt], n=2, max_tokens=12)
    assert [c["index"] for c in got["choices"]] == [0, 1, 2, 3]
    assert [c["text"] for c in got["choices"]][2:] == [expected, expected]
    got = complete(prompt, max_tokens=12, stop=[expected[4:8], "never"])
    assert got["choices"][0]["text"] == expected[:4], got
    assert got["choices"][0]["finish_reason"] == "stop"
    assert complete(prompt)["usage"]["completion_tokens"] == 16  # as OpenAI's default
    got = complete(prompt, max_tokens=2, echo=True)
    assert got["choices"][0]["text"].startswith(prompt) and got["choices"][0]["logprobs"] is None
    assert complete(prompt, max_tokens=0, echo=True)["choices"][0]["text"] == prompt


def seeds(prompt, expected):
    """A seed draws what it draws in `run`, in every place of a list, and others for each choice."""
    one = complete(prompt, temperature=1, seed=7, max_tokens=12)["choices"][0]["text"]
    assert one == expected, (one, expected)
    many = complete(["the", prompt], temperature=1, seed=7, n=3, max_tokens=12)["choices"]
    assert many[3]["text"] == expected and len({c["text"] for c in many[3:]}) == 3, many
    free = {complete(prompt, temperature=1, max_tokens=12)["choices"][0]["text"] for _ in range(4)}
    assert len(free) > 1, free


def scores(context, continuation, file):
    """Log-probabilities of a prompt, as lm-evaluation-harness asks for them, are score's bits."""
    context, continuation = ([int(i) for i in t.split()] for t in (context, continuation))
    expected = json.loads(open(file).readline())
    body = {"prompt": [context + continuation] * 2, "max_tokens": 1, "logprobs": 1, "echo": True}
    for choice in complete(**body)["choices"]:
        p = choice["logprobs"]
        assert p["token_logprobs"][0] is None and p["top_logprobs"][0] is None
        assert len(p["token_logprobs"]) == len(context) + len(continuation) + 1
        got = p["token_logprobs"][len(context):-1]
        tops = p["top_logprobs"][len(context):-1]
        assert len(got) == len(expected["tokens"])
        for g, top, e in zip(got, tops, expected["tokens"]):
            assert same_float(g, e["logprob"]), (g, e)
            assert (g == max(top.values())) == e["greedy"], (g, top, e)
        assert float("%.12g" % sum(got)) == expected["logprob"], (sum(got), expected)
        assert "".join(p["tokens"][:-1]) == choice["text"][:len("".join(p["tokens"][:-1]))]
        assert p["text_offset"][1] == len(p["tokens"][0])
    alone = complete(context + continuation, max_tokens=0, logprobs=1, echo=True)
    assert alone["choices"][0]["logprobs"]["token_logprobs"] == p["token_logprobs"][:-1]


def refused(status, body, word, path="/v1/completions", **more):
    got, headers, data = ask(path, body, **more)
    assert got == status, (body, got, data)
    error = json.loads(data)["error"]
    assert word in error["message"] and error["type"], (body, error)
    return error, headers


def errors():
    assert refused(400, b"{", "not a JSON")[0]["type"] == "invalid_request_error"
    refused(400, b"", "not a JSON")
    refused(400, b"[1]", "not a JSON")
    refused(400, {}, "prompt")
    refused(400, {"prompt": []}, "prompt")
    refused(400, {"prompt": [[1, 2], "a", {}]}, "prompt")
    refused(400, {"prompt": [[1, -2]]}, "not a token id")
    refused(400, {"prompt": [1, 100000000]}, "not a token id")
    refused(400, {"prompt": "x" * 5000}, "room for")
    refused(400, {"prompt": ["x", "x" * 5000]}, "room for")
    refused(400, {"prompt": "x", "max_tokens": "many"}, "max_tokens")
    assert refused(400, {"prompt": "x", "temperature": -1}, "temperature")[0]["param"] == "temperature"
    refused(400, {"prompt": "x", "n": 129}, "\"n\"")
    refused(400, {"prompt": ["x"] * 129, "n": 128}, "more than")
    refused(400, {"prompt": "x", "n": 2, "best_of": 3}, "best_of")
    assert refused(400, {"prompt": "x", "logit_bias": {"5": 3}}, "logit_bias")[0]["param"] == "logit_bias"
    refused(400, {"prompt": "x", "sparkle": 1}, "sparkle")
    refused(400, {"prompt": "x", "stop": [""]}, "stop")
    refused(400, {"prompt": "x", "stream_options": 3}, "stream_options")
    refused(404, None, "no such path", path="/v1/nothing")
    refused(404, None, "no such path", path="/v1/../v1/models")
    refused(404, None, "no such path", path="/v1//models")
    refused(404, None, "no such path", path="/v1/models/../../etc/passwd")
    assert refused(405, None, "method")[1]["Allow"] == "POST"
    refused(405, {}, "method", path="/v1/models")
    refused(403, None, "origin", path="/v1/models", headers={"Origin": "http://elsewhere"})
    refused(403, None, "localhost", path="/v1/models", headers={"Host": "elsewhere.example"})
    answer("/v1/models?x=1", headers={"Origin": "http://127.0.0.1:%d" % port})


def too_large():
    """Whether or not its length is said before."""
    status, _, data = ask("/v1/completions", {"prompt": "x" * 3000})
    assert status == 413 and b"--max-body" in data, (status, data)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/v1/completions", iter([b"x" * 1000] * 30), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().status == 413
    complete("x", max_tokens=1)


def keys(good):
    for header in {}, {"Authorization": "Bearer nonsense"}, {"Authorization": good}, \
            {"Authorization": "Bearer " + good[:-1]}, {"Authorization": "Bearer " + good + "x"}, \
            {"Authorization": "Bearer "}:
        error, headers = refused(401, None, "API key", path="/v1/models", headers=header)
        assert error["code"] == "invalid_api_key" and headers["WWW-Authenticate"] == "Bearer"
        refused(401, {"prompt": "x"}, "API key", headers=header)
    answer("/v1/models", headers={"Authorization": "Bearer " + good})
    answer("/health")


def queue():
    """One slot and no queue: of many requests at once some are refused, and say when to come again."""
    got = []

    def one():
        got.append(ask("/v1/completions", {"prompt": "x", "max_tokens": 200, "ignore_eos": True}))
    threads = [threading.Thread(target=one) for _ in range(12)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    statuses = [g[0] for g in got]
    assert set(statuses) == {200, 429}, statuses
    assert all(int(g[1]["Retry-After"]) > 0 for g in got if g[0] == 429)
    complete("x", max_tokens=1)


def odd_requests():
    """What is no HTTP, or not all of it, is answered or closed, and the next one is served."""
    for data in b"\0\1\2\r\n\r\n", b"GET\r\n\r\n", b"GET /health HTTP/9.9\r\n\r\n", b"\r\n" * 100, \
            b"POST /v1/completions HTTP/1.1\r\nContent-Length: -5\r\n\r\n", \
            b"POST /v1/completions HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", \
            b"GET /health HTTP/1.1\r\n" + b"A: b\r\n" * 10000 + b"\r\n", b"GET " + b"/" * 100000, \
            b"POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"GET /hea", \
            b"POST /v1/completions HTTP/1.1\r\nContent-Length: 50\r\n\r\n{}":
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
            except OSError as e:
                assert not isinstance(e, TimeoutError), data[:40]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:  # two at once
        s.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
        data = b""
        while data.count(b'"ok"') < 2:
            data += s.recv(4096)
    complete("x", max_tokens=1)


def health(status):
    assert ask("/health")[0] == int(status)


try:
    globals()[sys.argv[2]](*sys.argv[3:])
except AssertionError as e:
    print("check", sys.argv[2], e)
    raise
