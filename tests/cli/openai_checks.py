"""Asks a server of `spillway serve` by OpenAI's own client, unmodified. Used by test_openai.sh:
openai_checks.py PORT CHECK [ARGUMENT…] prints what is wrong and exits with 1."""
import asyncio
import json
import struct
import sys
import time
import urllib.request
from typing import Literal

import openai
import pydantic

url = f"http://127.0.0.1:{sys.argv[1]}"
options = {"base_url": url + "/v1", "api_key": "any", "max_retries": 0, "timeout": 300}
client = openai.OpenAI(**options)
CHAT = {"model": "any", "messages": [{"role": "system", "content": "To"}, {"role": "user", "content": " be, or"}]}
LONG = {"model": "any", "prompt": "x", "max_tokens": 240, "n": 128, "temperature": 1,
        "extra_body": {"ignore_eos": True}}


class Place(pydantic.BaseModel):
    kind: Literal["town", "wood"]


class Player(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=8)
    places: list[Place] = pydantic.Field(max_length=1)


SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": {
    "type": "object", "properties": {"word": {"type": "string", "maxLength": 8}, "mood": {"enum": ["glad", "sad"]},
                                     "n": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["word", "mood", "n"], "additionalProperties": False}}}


def deltas(stream, of=lambda c: c.delta.content or ""):
    """The text of a stream of one choice, and why it ended."""
    parts, reason = [], None
    for event in stream:
        for choice in event.choices:
            parts.append(of(choice))
            reason = choice.finish_reason or reason
    return "".join(parts), reason, len(parts)


def completions(prompt, expected, scores):
    """Texts as `run` has them; a prompt's log-probabilities as `score` has them."""
    assert [m.object for m in client.models.list()] == ["model"]
    ask = {"model": "any", "prompt": prompt, "max_tokens": 12, "temperature": 0}
    got = client.completions.create(**ask)
    assert got.choices[0].text == expected and got.usage.completion_tokens == 12, got
    text, reason, n = deltas(client.completions.create(**ask, stream=True), lambda c: c.text)
    assert (text, reason) == (expected, "length") and n > 5, (text, reason, n)
    last = list(client.completions.create(**ask, stream=True, stream_options={"include_usage": True}))[-1]
    assert last.usage == got.usage and last.choices == [], last
    mine = json.loads(open(scores, encoding="utf-8").readline())["tokens"]
    echo = client.completions.create(model="any", prompt="First Citizen: Speak, speak the the thus", max_tokens=0,
                                     echo=True, logprobs=1).choices[0].logprobs.token_logprobs[-len(mine):]
    assert [struct.pack("f", x) for x in echo] == [struct.pack("f", t["logprob"]) for t in mine], (echo, mine)

    async def many():
        async with openai.AsyncOpenAI(**options) as other:
            return await asyncio.gather(*(other.completions.create(**ask) for _ in range(8)))
    assert all(g.choices[0].text == expected for g in asyncio.run(many()))


def chats(expected):
    ask = {**CHAT, "max_tokens": 12, "temperature": 0}
    got = client.chat.completions.create(**ask, logprobs=True, top_logprobs=2)
    assert got.choices[0].message.content == expected and len(got.choices[0].logprobs.content) == 12, got
    text, reason, n = deltas(client.chat.completions.create(**ask, stream=True))
    assert (text, reason) == (expected, "length") and n > 5, (text, reason, n)
    # This helper takes an answer that max_tokens cuts for an error.
    with client.chat.completions.stream(**ask, stop=expected[4:8]) as stream:
        assert stream.get_final_completion().choices[0].message.content == expected[:4]


def structured(what):
    """Answers keep their form, streamed and not, and are the same text in both."""
    whole = 0
    for seed in range(12):
        # What is hot ends its objects; a cold one of this small model goes on in a string.
        ask = {**CHAT, "max_tokens": 200, "temperature": 2, "seed": seed}
        form = SCHEMA if what == "json_schema" else {"type": what}
        got = client.chat.completions.create(**ask, response_format=form).choices[0]
        text, reason, _ = deltas(client.chat.completions.create(**ask, response_format=form, stream=True))
        assert (text, reason) == (got.message.content, got.finish_reason), (text, reason, got)
        if reason == "stop":
            value = json.loads(text)
            assert isinstance(value, dict), text
            if form is SCHEMA:
                assert list(value) == ["word", "mood", "n"] and len(value["word"]) <= 8, text
                assert value["mood"] in ("glad", "sad") and value["n"] in range(1, 10), text
            whole += 1
    assert whole == 12 if form is SCHEMA else whole > 2, whole
    print(what, whole, "of 12 answers whole, the others cut by max_tokens")


def parsed():
    """The client makes the schema of a class, and an object of the answer. A small class: this model fills an
    answer with white space as far as the form lets it."""
    for temperature in 0, 1:
        ask = {**CHAT, "max_tokens": 250, "temperature": temperature, "seed": 3, "response_format": Player}
        got = client.chat.completions.parse(**ask).choices[0].message
        assert isinstance(got.parsed, Player) and len(got.parsed.places) <= 1, got
        with client.chat.completions.stream(**ask) as stream:
            kinds = {event.type for event in stream}
            assert stream.get_final_completion().choices[0].message.parsed == got.parsed
        assert {"chunk", "content.delta", "content.done"} <= kinds, kinds
        print(got.parsed)
    try:
        client.chat.completions.parse(**{**ask, "max_tokens": 3})
        raise AssertionError("a cut answer is taken for a whole one")
    except openai.LengthFinishReasonError:
        pass


def raises(kind, ask, **more):
    try:
        ask(**more)
    except kind as e:
        return e
    raise AssertionError((kind, more))


def settled():
    """Waits until nothing runs."""
    for _ in range(3000):
        with urllib.request.urlopen(url + "/metrics", timeout=300) as answer:
            lines = answer.read().decode().splitlines()
        if "spillway_sequences_running 0" in lines:
            return
        time.sleep(0.1)
    raise AssertionError("sequences run on")


def errors():
    """Errors come as the client's own; one that gives up or leaves frees its slots."""
    e = raises(openai.BadRequestError, client.completions.create, model="any", prompt="x", temperature=-1)
    assert e.param == "temperature" and e.type == "invalid_request_error" and e.status_code == 400, e
    bad = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "string", "not": {}}}}
    e = raises(openai.BadRequestError, client.chat.completions.create, **CHAT, response_format=bad)
    assert e.param == "response_format" and "not" in str(e), e
    raises(openai.NotFoundError, client.responses.create, model="any", input="x")
    raises(openai.APITimeoutError, client.with_options(timeout=0.5).completions.create, **LONG)
    settled()
    with client.completions.create(**LONG, stream=True) as stream:
        next(iter(stream))
    settled()

    async def cancelled():
        async with openai.AsyncOpenAI(**options) as other:
            task = asyncio.create_task(other.completions.create(**LONG))
            await asyncio.sleep(0.3)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
    asyncio.run(cancelled())
    settled()


def keys(good):
    e = raises(openai.AuthenticationError, client.models.list)
    assert e.code == "invalid_api_key", e
    assert client.with_options(api_key=good).models.list().data


globals()[sys.argv[2]](*sys.argv[3:])
