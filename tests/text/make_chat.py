#!/usr/bin/env python3
"""Writes what transformers makes of data/chat: expected.json beside the templates.

    make_chat.py            needs `pip install transformers jinja2`

data/chat/*.jinja are templates, requests.json the conversations each of them is given, and
snippets.txt short templates, one a line, that show one thing each. A template that raises gives
null. Before that transformers' own normalisation is made, and what is made here beside it:
arguments that are JSON text are parsed, and texts of a content that is a list are joined for
templates that do not walk over parts; parts that are no texts are refused. The libraries are not needed to build or test.
"""
import glob
import json
import os

from transformers.utils.chat_template_utils import _alias_reasoning_fields, _compile_jinja_template, _normalize_chat_messages

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "chat")


WALK = ["lines.jinja", "turns.jinja"]


def settle(messages, walks):
    """None: refused."""
    messages = json.loads(json.dumps(_normalize_chat_messages(messages)))
    for message in messages:
        for call in message.get("tool_calls", []):
            if isinstance(call["function"]["arguments"], str):
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        if isinstance(message.get("content"), list):
            if any(part["type"] != "text" for part in message["content"]):
                return None
            if not walks:
                message["content"] = "\n".join(part["text"] for part in message["content"])
    return _alias_reasoning_fields(messages)


def render(template, variables):
    try:
        return _compile_jinja_template(template).render(**variables)
    except Exception:
        return None


def main():
    with open(os.path.join(HERE, "requests.json"), encoding="utf-8") as f:
        given = json.load(f)
    templates = {}
    for path in sorted(glob.glob(os.path.join(HERE, "*.jinja"))):
        with open(path, encoding="utf-8") as f:
            source = f.read()
        rows = templates[os.path.basename(path)] = {}
        for name, request in given["requests"].items():
            tools = given["tools"] if request.get("tools") else None
            messages = settle(request["messages"], os.path.basename(path) in WALK)
            rows[name] = messages and render(source, {
                **given["specials"], **request.get("variables", {}), "documents": None,
                "messages": messages, "tools": tools,
                "add_generation_prompt": request.get("add_generation_prompt", False)})
    with open(os.path.join(HERE, "snippets.txt"), encoding="utf-8") as f:
        lines = [line.rstrip("\n") for line in f if line.strip() and not line.startswith("##")]
    snippets = [[line, render(line.replace("\\n", "\n"), given["variables"])] for line in lines]
    with open(os.path.join(HERE, "expected.json"), "w", encoding="utf-8") as f:
        json.dump({"templates": templates, "snippets": snippets}, f, indent=0, ensure_ascii=False)
        f.write("\n")


if __name__ == "__main__":
    main()
