"""Asks a server of `spillway serve` as its clients do. Used by test_serve.sh:
serve_checks.py PORT CHECK [ARGUMENT…] prints what is wrong and exits with 1."""
import base64
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import struct
import sys
import threading
import time

port = int(sys.argv[1])


def ask(path, body=None, method=None, headers=None, timeout=300):
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


def biases(prompt, expected, ids):
    """A bias of 100 is what comes, one of -100 what does not, in the request's own text only."""
    ids = [int(i) for i in ids.split()]
    plain = answer("/tokenize", {"prompt": expected, "add_special_tokens": False})["tokens"]
    def got(bias, **more):
        text = complete(ids, logit_bias=bias, max_tokens=12, **more)["choices"][0]["text"]
        return answer("/tokenize", {"prompt": text, "add_special_tokens": False})["tokens"]
    only = answer("/detokenize", {"tokens": [plain[0]] * 12})["prompt"]
    for temperature in 0, 2:
        text = complete(ids, logit_bias={str(plain[0]): 100}, max_tokens=12, temperature=temperature)
        assert text["choices"][0]["text"].strip() == only.strip(), text
    assert plain[0] not in got({str(plain[0]): -100}) and plain[0] not in got({str(plain[0]): -100}, temperature=2)
    assert complete(ids, logit_bias={str(plain[0]): 0}, max_tokens=12)["choices"][0]["text"] == expected
    assert complete(ids, max_tokens=12)["choices"][0]["text"] == expected
    both = {str(plain[0]): 100}, None
    answers = [None, None]
    def one(i):
        answers[i] = complete(ids, max_tokens=12, **({"logit_bias": both[i]} if both[i] else {}))["choices"][0]["text"]
    threads = [threading.Thread(target=one, args=(i,)) for i in range(2)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert answers[1] == expected and answers[0].strip() == only.strip(), answers


def fits(value, schema, root=None):
    """Whether a value is what the schema says, of the members that these tests use."""
    root = root or schema
    if "$ref" in schema:
        at = root
        for part in schema["$ref"].split("/")[1:]:
            at = at[part]
        return fits(value, at, root)
    for word in "anyOf", "oneOf":
        if word in schema:
            return any(fits(value, s, root) for s in schema[word])
    if "const" in schema:
        return value == schema["const"]
    if "enum" in schema:
        return value in schema["enum"]
    kinds = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None),
             "object": dict, "array": list}
    wanted = schema.get("type", list(kinds))
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if not any(isinstance(value, kinds[w]) and (w == "boolean" or not isinstance(value, bool)) for w in wanted):
        return False
    if isinstance(value, str):
        return (schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1e9)
                and re.search(schema.get("pattern", ""), value) is not None)
    if isinstance(value, list):
        return (schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 1e9)
                and all(fits(v, schema.get("items", {}), root) for v in value))
    if isinstance(value, dict):
        known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        return (all(k in value for k in schema.get("required", []))
                and all(fits(v, known[k] if k in known else more if isinstance(more, dict) else {}, root)
                        and (k in known or more is not False) for k, v in value.items()))
    return True


SCHEMAS = {
    "flat": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"},
             "ok": {"type": "boolean"}}, "required": ["name", "age"], "additionalProperties": False},
    "list": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 4},
    "choice": {"anyOf": [{"enum": ["red", "gr\u00fcn", "\"", 3, None, {"a": [1, 2.5]}]}, {"const": "x\ty"}]},
    "pattern": {"type": "string", "pattern": "^[A-C]{2}-\\d{1,3}( (left|right)\\.)?$"},
    "found": {"type": "object", "properties": {"at": {"type": "string", "pattern": "^\"?a{1,3}\\\\?$"}}, "required": ["at"]},
    "tree": {"$defs": {"node": {"type": "object", "properties": {"v": {"type": ["integer", "null"]},
             "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["v", "next"]}},
             "$ref": "#/$defs/node"},
    "more": {"type": "object", "properties": {"ab": {"type": "integer"}, "abc": {"type": "integer"}},
             "additionalProperties": {"type": "string", "maxLength": 5}},
    "length": {"type": "object", "properties": {"t": {"type": "string", "minLength": 3, "maxLength": 6}},
               "required": ["t"], "title": "T", "description": "d"},
    "nested": {"type": "object", "properties": {"a": {"type": "array", "maxItems": 2, "items": {"oneOf": [
               {"type": "object", "properties": {"k": {"const": 1}}, "required": ["k"]}, {"type": "null"}]}}},
               "required": ["a"]},
}


def structured(prompt, expected):
    """Answers are what their schemas and grammars say, however hot and whatever the seed; others are as before."""
    ended = {name: 0 for name in SCHEMAS}
    for temperature in 0.7, 2:
        for name, schema in SCHEMAS.items():
            form = {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}}
            got = complete(prompt, temperature=temperature, seed=5, n=6, max_tokens=220, response_format=form)
            for choice in got["choices"]:
                if choice["finish_reason"] == "stop":
                    value = json.loads(choice["text"])
                    assert fits(value, schema), (name, temperature, choice["text"])
                    ended[name] += 1
    assert all(n > 1 for n in ended.values()), ended
    whole = 0
    for temperature in 0.5, 2:
        got = complete(prompt, temperature=temperature, seed=1, n=12, max_tokens=150,
                       response_format={"type": "json_object"})
        for choice in got["choices"]:
            assert choice["text"].lstrip().startswith("{"), choice
            if choice["finish_reason"] == "stop":
                assert isinstance(json.loads(choice["text"]), dict), choice
                whole += 1
    assert whole > 2, whole
    grammar = 'root ::= word (", " word){2} "\\u00e9" "."\nword ::= [a-z]{2,5}'
    got = complete(prompt, temperature=2, n=16, seed=3, max_tokens=60, grammar=grammar, logprobs=1)
    for choice in got["choices"]:
        assert re.fullmatch("[a-z]{2,5}(, [a-z]{2,5}){2}\u00e9[.]", choice["text"]), choice
        assert choice["finish_reason"] == "stop"
    answers = {}
    def one(i):
        more = {"grammar": grammar} if i % 2 else {}
        answers[i] = complete(prompt, max_tokens=12, **more)["choices"][0]["text"]
    threads = [threading.Thread(target=one, args=(i,)) for i in range(6)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert all(answers[i] == expected for i in (0, 2, 4)), answers
    assert answers[1] == answers[3] == answers[5] != expected, answers
    # Twice as many ways to end with each x: more than are followed.
    x = answer("/tokenize", {"prompt": "x", "add_special_tokens": False})["tokens"][-1]
    refused(400, {"prompt": prompt, "grammar": 'root ::= s\ns ::= "x" s "a" | "x" s "b" | "x"', "max_tokens": 60,
                  "logit_bias": {str(x): 100}}, "too ambiguous")
    for form, word in (({"type": "yaml"}, "json_object"), ({"type": "json_schema"}, "schema"), (7, "object"),
                       ({"type": "json_schema", "json_schema": {"schema": {"type": "number", "minimum": 3}}}, "minimum"),
                       ({"type": "json_schema", "json_schema": {"schema": {"$ref": "#/x"}}}, "$ref"),
                       ({"type": "json_schema", "json_schema": {"schema": {"allOf": []}}}, "allOf")):
        assert refused(400, {"prompt": "x", "response_format": form}, word)[0]["param"] == "response_format"
    for grammar in "root ::= root", "root ::= (", "a ::= \"b\"", 5, 'root ::= "a"{99999}':
        assert refused(400, {"prompt": "x", "grammar": grammar}, "grammar")[0]["param"] == "grammar"
    refused(400, {"prompt": "x", "grammar": 'root ::= "a"', "response_format": {"type": "json_object"}}, "exclude")


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
    # A text that ends at once: its end is the one token behind the prompt's.
    (ended,) = complete(context + continuation, max_tokens=1, logprobs=1, echo=True, logit_bias={"0": 100})["choices"]
    assert ended["finish_reason"] == "stop", ended
    assert ended["logprobs"]["token_logprobs"][:-1] == p["token_logprobs"][:-1], ended


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
    for bias in {"x": 3}, {"5": 101}, {"5": None}, {"-1": 3}, {"100000000": 3}, [5], {str(i): 1 for i in range(1025)}:
        assert refused(400, {"prompt": "x", "logit_bias": bias}, "logit_bias")[0]["param"] == "logit_bias"
    refused(400, {"prompt": "x", "sparkle": 1}, "sparkle")
    refused(400, {"prompt": "x", "stop": [""]}, "stop")
    refused(400, {"prompt": "x", "stream_options": 3}, "stream_options")
    refused(404, None, "no such path", path="/v1/nothing")
    refused(404, None, "no such path", path="/v1/../v1/models")
    refused(404, None, "no such path", path="/v1//models")
    refused(404, None, "no such model", path="/v1/models/../../etc/passwd")
    refused(404, None, "no such path", path="/v1/models/")
    assert refused(405, None, "method")[1]["Allow"] == "POST"
    refused(405, {}, "method", path="/v1/models")
    refused(403, None, "origin", path="/v1/models", headers={"Origin": "http://elsewhere"})
    refused(403, None, "localhost", path="/v1/models", headers={"Host": "elsewhere.example"})
    models = answer("/v1/models?x=1", headers={"Origin": "http://127.0.0.1:%d" % port})["data"]
    assert answer("/v1/models/" + models[0]["id"].replace("/", "%2F")) == models[0]
    assert answer("/v1/models/" + models[0]["id"]) == models[0]


def too_large():
    """Whether or not its length is said before."""
    status, _, data = ask("/v1/completions", {"prompt": "x" * 3000})
    assert status == 413 and b"--max-body" in data, (status, data)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=200)
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
    assert ask("/")[0] == 200
    for path in "/state", "/plan.svg", "/metrics":
        refused(401, None, "API key", path=path)


def page(model, n):
    """The page needs no key, its policy allows what is in it, and what it asks for is there."""
    status, headers, body = ask("/")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8", headers
    policy = headers["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in policy and "unsafe" not in "".join(policy), policy
    for name in b"style", b"script":
        parts = re.findall(b"<%s>(.*?)</%s>" % (name, name), body, re.S)
        hashed = base64.b64encode(hashlib.sha256(parts[0]).digest()).decode()
        assert len(parts) == 1 and f"{name.decode()}-src 'sha256-{hashed}'" in policy, policy
    assert not re.search(b"https?://(?!www.w3.org/)| on[a-z]+=| style=", body), "loads or runs more"
    assert ask("/", method="HEAD")[2] == b""
    complete("To be", max_tokens=30)
    state = answer("/state")
    stages = state.pop("stages")
    assert state["model"] == model and state["slots"] > 0 and state["context"] == 256, state
    assert not state["chat"] and "no chat template" in state["no_chat"], state
    assert [s["rank"] for s in stages] == list(range(int(n))) and stages[0]["first"] == 0, stages
    assert sum(s["count"] for s in stages) == 6 and all(s["device"] == "cpu" for s in stages), stages
    for _ in range(600):  # nothing runs: soon no rank is busy
        busy = [s["busy"] for s in answer("/state")["stages"]]
        if all(b in (0, None) for b in busy):
            break
        time.sleep(0.1)
    assert all(b in (0, None) for b in busy), busy
    status, headers, body = ask("/plan.svg")
    assert status == 200 and headers["Content-Type"] == "image/svg+xml"
    assert body.startswith(b"<svg") and b"layers 0-5" in body and b"<script" not in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]


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
        with socket.create_connection(("127.0.0.1", port), timeout=100) as s:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
            except OSError as e:
                assert not isinstance(e, TimeoutError), data[:40]
    with socket.create_connection(("127.0.0.1", port), timeout=100) as s:  # two at once
        s.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
        data = b""
        while data.count(b'"ok"') < 2:
            data += s.recv(4096)
    complete("x", max_tokens=1)


def events(body, path="/v1/completions", stop_after=None, timeout=300):
    """The data of each server-sent event; a dict of an error is one, too."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    connection.request("POST", path, json.dumps({"stream": True, "temperature": 0, **body}).encode())
    got = connection.getresponse()
    assert got.status == 200 and got.getheader("Content-Type") == "text/event-stream", got.status
    out = []
    while line := got.readline():
        if line == b"\n":
            continue
        assert line.startswith(b"data: ") and line.endswith(b"\n"), line
        out.append(line[6:-1] if line == b"data: [DONE]\n" else json.loads(line[6:]))
        if stop_after and len(out) == stop_after:
            break
    connection.close()
    return out


def joined(got, index=0):
    """The text of a choice of a stream."""
    choices = [c for e in got if isinstance(e, dict) for c in e["choices"] if c["index"] == index]
    assert [c["finish_reason"] for c in choices[:-1]] == [None] * (len(choices) - 1)
    assert choices[-1]["finish_reason"], choices
    return "".join(c["text"] if "text" in c else c["delta"].get("content", "") for c in choices)


def stream(prompt, expected):
    """A stream has what the whole answer has."""
    got = events({"prompt": prompt, "max_tokens": 12})
    assert got[-1] == b"[DONE]" and joined(got) == expected and len(got) > 5, got
    assert len({e["id"] for e in got[:-1]}) == 1 and "usage" not in got[0]
    body = {"prompt": ["the", prompt], "max_tokens": 12, "n": 2, "logprobs": 2, "echo": True,
            "stream_options": {"include_usage": True}}
    got, whole = events(body), complete(**{k: v for k, v in body.items() if k != "stream_options"})
    assert got[-2]["choices"] == [] and got[-2]["usage"] == whole["usage"], got[-2]
    assert all(e["usage"] is None for e in got[:-2])
    for c in whole["choices"]:
        assert joined(got, c["index"]) == c["text"]
        parts = [d["logprobs"] for e in got[:-1] for d in e["choices"] if d["index"] == c["index"]]
        for name, values in c["logprobs"].items():
            assert sum((p[name] for p in parts if p), []) == values, name
    refused(400, {"prompt": "x" * 5000, "stream": True}, "room for")
    refused(400, {"prompt": "x", "stream": 1}, "stream")
    took = []
    while len(took) < 4 or min(took) >= 0.15 and len(took) < 12:  # a busy machine delays most
        begin = time.monotonic()
        events({"prompt": prompt, "max_tokens": 1})
        took.append(time.monotonic() - begin)
    assert min(took) < 0.15, f"an idle server takes {took} s; its clock is looked at each 0.2 s"


def chat(expected):
    """Messages go through the model's template; `expected` follows "To be, or"."""
    say = [{"role": "system", "content": "To"}, {"role": "user", "content": " be, or"}]
    body = {"messages": say, "max_tokens": 12, "temperature": 0}
    got = answer("/v1/chat/completions", body)
    assert got["object"] == "chat.completion" and got["id"].startswith("chatcmpl-"), got
    assert got["choices"][0]["message"] == {"role": "assistant", "content": expected,
                                            "refusal": None}, got
    assert got["choices"][0]["logprobs"] is None
    parts = events(body, "/v1/chat/completions")
    assert joined(parts) == expected and parts[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "role" not in parts[1]["choices"][0]["delta"]
    got = answer("/v1/chat/completions", {**body, "logprobs": True, "top_logprobs": 2})
    tokens = got["choices"][0]["logprobs"]["content"]
    assert len(tokens) == 12 and all(len(t["top_logprobs"]) == 2 for t in tokens)
    assert bytes(sum((t["bytes"] for t in tokens), [])).decode() == expected
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]

    def ids(**more):
        return answer("/tokenize", {"messages": say, **more})["tokens"]

    def count(**more):
        return answer("/v1/chat/completions", {**body, **more})["usage"]["prompt_tokens"]
    assert count() == len(ids()) and count(tools=tools) == len(ids(tools=tools)) > count()
    assert count(tools=tools, tool_choice="none") == count()
    assert count(chat_template_kwargs={"mood": "a longer mood"}) > count()
    say.append({"role": "assistant", "content": " that is"})
    assert ids(continue_final_message=True) == answer("/tokenize", {"prompt": "To be, or that is"})["tokens"]
    assert ids() != ids(continue_final_message=True)
    assert count(continue_final_message=True) == len(ids(continue_final_message=True))
    path = {"path": "/v1/chat/completions"}
    refused(400, {}, "messages", **path)
    refused(400, {"messages": []}, "messages", **path)
    refused(400, {"messages": [{"role": "user"}], "continue_final_message": True}, "no text", **path)
    refused(400, {**body, "prompt": "x"}, "prompt", **path)
    refused(400, {**body, "tools": 3}, "tools", **path)
    refused(400, {**body, "response_format": {"type": "json"}}, "response_format", **path)
    said = answer(**path, body={**body, "response_format": {"type": "json_object"}, "max_tokens": 200,
                                "temperature": 2, "seed": 2})["choices"][0]
    assert said["message"]["content"].lstrip().startswith("{"), said
    refused(400, {**body, "tools": tools, "tool_choice": "required"}, "tool_choice", **path)
    long = answer("/v1/chat/completions", {**body, "max_tokens": None, "ignore_eos": True})
    model = answer("/v1/models")["data"][0]
    assert long["usage"]["total_tokens"] == model["max_model_len"] + 1, long["usage"]


def no_chat():
    refused(400, {"messages": [{"role": "user", "content": "x"}]}, "no chat template",
            path="/v1/chat/completions")


def text(prompt, ids):
    ids = [int(i) for i in ids.split()]
    got = answer("/tokenize", {"prompt": prompt})
    assert got["tokens"] == ids and got["count"] == len(ids), got
    assert answer("/detokenize", {"tokens": ids}) == {"prompt": prompt}
    assert answer("/detokenize", {"tokens": []}) == {"prompt": ""}
    refused(400, {"tokens": [-1]}, "not a token id", path="/detokenize")
    refused(400, {"tokens": "a"}, "tokens", path="/detokenize")
    refused(400, {"prompt": [1]}, "prompt", path="/tokenize")
    refused(400, b"[", "JSON", path="/tokenize")


def numbers():
    """What /metrics says, by name."""
    status, headers, data = ask("/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain")
    lines = [line for line in data.decode().splitlines() if not line.startswith("#")]
    return {line.rsplit(" ", 1)[0].removeprefix("spillway_"): float(line.rsplit(" ", 1)[1])
            for line in lines}


def settled(**wanted):
    """Waits until the metrics are so."""
    for _ in range(3000):
        got = numbers()
        if all(got[k] == v for k, v in wanted.items()):
            return got
        time.sleep(0.1)
    assert False, (wanted, got)


def metrics(n):
    before = settled(requests_open=0)
    complete("To be, or not", max_tokens=3, n=2, logprobs=1, echo=True)
    time.sleep(0.6)
    complete("To be, or not", max_tokens=3)
    after = settled(requests_open=0, sequences_running=0, kv_positions=0)
    assert after["generated_tokens_total"] >= before["generated_tokens_total"] + 6, after
    assert after["scored_tokens_total"] > before["scored_tokens_total"]
    assert after['requests_total{end="answered"}'] >= before['requests_total{end="answered"}'] + 2
    assert after["kv_positions_limit"] == after["slots"] * 256
    for name in [f'stage_busy_ratio{{rank="{r}"}}' for r in range(int(n))]:
        assert 0 <= after.get(name, 0) <= 1


# Some seconds of work, on a fast machine too: four times what the slots hold.
LONG = {"prompt": "x", "max_tokens": 240, "n": 128, "ignore_eos": True, "temperature": 1}


def leave():
    """Clients that go away while they read a stream or wait for an answer: their slots are free at
    once, and what others are answered is what it was."""
    alone = complete("To be", max_tokens=30)["choices"][0]["text"]
    before = settled(requests_open=0)
    for i in range(6):
        if i % 2:
            assert len(events(LONG, stop_after=3)) == 3
        else:
            with socket.create_connection(("127.0.0.1", port), timeout=100) as s:
                data = json.dumps(LONG).encode()
                s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                          b"%d\r\n\r\n" % len(data) + data)
                time.sleep(0.05)
        assert complete("To be", max_tokens=30)["choices"][0]["text"] == alone
    after = settled(requests_open=0, sequences_running=0)
    assert after['requests_total{end="client_left"}'] == before['requests_total{end="client_left"}'] + 6
    assert after["generated_tokens_total"] < before["generated_tokens_total"] + 6 * LONG["n"] * 240 / 2


def slow():
    """A client that does not read holds up nobody, and gets all at last."""
    with socket.create_connection(("127.0.0.1", port), timeout=300) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        data = json.dumps({**LONG, "n": 8, "stream": True, "logprobs": 5}).encode()
        s.sendall(b"POST /v1/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        settled(requests_open=1)
        settled(requests_open=0, sequences_running=0)
        complete("x", max_tokens=1)
        got = b""
        while part := s.recv(1 << 20):
            got += part
    assert got.endswith(b"data: [DONE]\n\n") and got.count(b"data: ") > 8 * 100, len(got)


def deadline():
    """--request-timeout ends what takes too long, and the OpenAI client is told not to try again."""
    status, headers, data = ask("/v1/completions", LONG)
    assert status == 504 and headers["X-Should-Retry"] == "false", (status, data)
    assert json.loads(data)["error"]["code"] == "request_timeout"
    got = events(LONG)
    assert got[-1]["error"]["type"] == "timeout_error", got[-1]
    settled(requests_open=0, sequences_running=0)


def stop(pid, end):
    """A signal while a stream runs: new requests are refused, the stream ends well or with an
    error."""
    got = []
    reader = threading.Thread(target=lambda: got.extend(events(LONG)))
    reader.start()
    settled(sequences_running=32)
    os.kill(int(pid), signal.SIGTERM)
    if end == "whole":
        for _ in range(3000):
            time.sleep(0.02)
            status = ask("/health")[0]
            if status == 503:
                break
        assert status == 503
        refused(503, {"prompt": "x"}, "stopping")
    reader.join(60)
    if end == "whole":
        assert got[-1] == b"[DONE]", got[-1]
    else:
        assert end in got[-1]["error"]["message"], got[-1]


def lost(pid):
    """The process of another rank dies while a stream runs."""
    got = []
    reader = threading.Thread(target=lambda: got.extend(events(LONG)))
    reader.start()
    settled(sequences_running=32)
    os.kill(int(pid), signal.SIGKILL)
    reader.join(60)
    assert "lost" in got[-1]["error"]["message"] and got[-1]["error"]["type"] == "server_error", got[-1]


def health(status):
    assert ask("/health")[0] == int(status)


try:
    globals()[sys.argv[2]](*sys.argv[3:])
except AssertionError as e:
    print("check", sys.argv[2], e)
    raise
