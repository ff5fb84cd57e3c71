"""Drives serve's page in Chromium. Used by test_serve_page.sh, in its work folder:
page_checks.py SPILLWAY MODEL"""
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
from browser import Browser  # noqa: E402

spillway, model = sys.argv[1:3]
LONG = 200  # seconds, for a machine that is busy


class Server:
    """spillway serve; the same port when it is started again."""

    def __init__(self, name, *options, port=0):
        self.out = open("server.out", "w+")
        self.process = subprocess.Popen(
            [spillway, "serve", name, "--weights-from", "random", "--context", "4096", "--slots", "2",
             "--port", str(port), "--json", "--grace", "0", *options],
            stdin=subprocess.DEVNULL, stdout=self.out, stderr=open("server.err", "w"))
        end = time.monotonic() + LONG
        while time.monotonic() < end and self.process.poll() is None:
            self.out.seek(0)
            line = self.out.read()
            if line.endswith("\n"):
                self.port = json.loads(line)["port"]
                self.url = f"http://127.0.0.1:{self.port}/"
                return
            time.sleep(0.05)
        raise RuntimeError("the server is not ready: " + open("server.err").read())

    def metric(self, name):
        with urllib.request.urlopen(self.url + "metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith("spillway_" + name + " "):
                    return float(line.split()[-1])
        raise KeyError(name)

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(LONG)


def until(condition, what, seconds=LONG):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


ANSWERED = "running === null && memory.turns.length === %d && memory.turns.at(-1).text"


def begin(b, server):
    b.open(server.url)
    b.until("state !== null && document.querySelector('#state').dataset.is === 'up'", LONG)


def settings(b, **values):
    b.run("show_settings(true)")
    for name, value in values.items():
        b.run(f"document.querySelector('#{name}').select()")
        b.press("Backspace", 8)
        if value:
            b.type(value)
    b.run("document.querySelector('#prompt').focus()")


def say(b, text):
    b.run("document.querySelector('#prompt').focus()")
    b.type(text)
    b.press("Enter", 13, "\r")


def tabs_to(b, selector):
    """As a person without a mouse goes there."""
    for _ in range(30):
        b.press("Tab", 9)
        if b.run(f"document.activeElement === document.querySelector('{selector}')"):
            return
    raise AssertionError("Tab does not come to " + selector)


def types_and_reads(b):
    """By keyboard alone: settings, a message of two lines that is then changed, an answer."""
    assert b.run("document.activeElement.id") == "prompt", "the message has no focus"
    assert b.run("document.querySelector('#empty-title').textContent") == f"Ask {model} something"
    assert not b.run("document.querySelector('#empty b')"), "the model's name became markup"
    tabs_to(b, "#show-settings")
    b.press("Enter", 13, "\r")
    b.until("document.activeElement.id === 'system'")
    settings(b, temperature="0", max_tokens="24")
    b.type("hello")
    b.press("Enter", 13, "\r", shift=True)
    assert b.run("document.querySelector('#prompt').value") == "hello\n"
    assert b.run("memory.turns.length") == 0, "Shift Enter sent the message"
    b.press("Backspace", 8)
    b.type(" there")
    b.press("Enter", 13, "\r")
    text = b.until(ANSWERED % 2, LONG)
    expected = open("plainly").read()
    assert text == expected, (text, expected)
    footer = b.run("document.querySelector('article:last-of-type footer').textContent")
    assert "24 tokens" in footer and "tokens/s" in footer and "cut at the limit" in footer, footer
    assert b.run("document.querySelector('article.user .text').textContent") == "hello there"
    assert b.run("document.activeElement.id") == "prompt", "the focus is lost after an answer"
    assert expected.split()[0] in b.run("document.querySelector('#spoken').textContent"), "not announced"


def changes_the_system_prompt(b):
    b.click("#new")
    assert b.run("memory.turns.length") == 0 and not b.run("$('empty').hidden")
    settings(b, system="You are a pirate.")
    say(b, "hello there")
    text = b.until(ANSWERED % 2, LONG)
    assert text == open("pirate").read(), text
    settings(b, system="")


def streams_and_stops(b, server):
    """Text comes in parts; a stop ends it, frees its slot, keeps what is there, and the next
    message is answered."""
    b.click("#new")
    settings(b, temperature="1", max_tokens="", seed="3")
    before = server.metric('requests_total{end="client_left"}')
    say(b, "go on")
    sizes = set()
    b.until("document.querySelector('#stop').hidden === false")
    end = time.monotonic() + LONG
    while len(sizes) < 5 and time.monotonic() < end:
        sizes.add(b.run("document.querySelector('article:last-of-type .text').textContent.length"))
        time.sleep(0.05)
    assert len(sizes) >= 5 and b.run("running !== null"), f"does not stream: {sizes}"
    assert b.run("document.querySelector('article:last-of-type').getAttribute('aria-busy')") == "true"
    b.until("document.querySelector('#state').dataset.is === 'busy'")
    b.until("[...document.querySelectorAll('.track')].some((t) => Number(t.getAttribute('aria-valuenow')) > 0)", LONG)
    b.until("document.querySelector('#rate').textContent.includes('tokens/s')")
    b.press("Escape", 27)
    b.until("running === null")
    until(lambda: server.metric("sequences_running") == 0, "the slot is not free")
    until(lambda: server.metric('requests_total{end="client_left"}') == before + 1, "not counted as left")
    turn = b.run("(({text, why}) => ({text, why}))(memory.turns.at(-1))")
    assert turn["why"] == "Stopped" and turn["text"], turn
    assert "Stopped" in b.run("document.querySelector('article:last-of-type footer').textContent")
    say(b, "go on")
    b.until("document.querySelectorAll('article').length === 4 && memory.turns.at(-1).text", LONG)
    b.click("#stop")
    b.until("running === null")
    settings(b, temperature="0", max_tokens="24", seed="")
    assert b.run("messages().map((m) => m.role).join()") == "user,assistant,user,assistant"
    b.click("#new")


def shows_the_plan(b):
    b.click("#show-plan")
    b.until("document.querySelector('#plan svg text') !== null")
    text = b.run("document.querySelector('#plan svg').textContent")
    assert "layers 0-7" in text and model in text, text
    assert b.run("document.querySelectorAll('#stages li').length") == 1
    assert "layers 0–7" in b.run("document.querySelector('#stages').textContent")
    b.click("#show-plan")


def is_safe(b):
    """Text of a model is text."""
    page = r"""(() => { const out = document.createElement("div"); window.hurt = false;
        put_text(out, "a **b** `c` <img src=x onerror='hurt=true'>\n\n# t\n- <script>hurt=true</script>\n" +
                      "```html\n<b>\n```\n1. x\n2. y\n");
        return [out.querySelectorAll("img,script,b").length, out.querySelectorAll("strong,code,h3,ul,ol,pre").length,
                out.textContent.includes("<img src=x"), window.hurt]; })()"""
    assert b.run(page) == [0, 7, True, False], b.run(page)
    blocked = b.run("""(() => { try { document.body.insertAdjacentHTML("beforeend", "<b>x</b>"); return false; }
                     catch { return true; } })()""")
    assert blocked, "markup can be put into the page"
    b.problems.clear()  # that attempt is reported
    assert b.run("location.href.includes('key')") is False


def is_narrow(b):
    for scheme in "light", "dark":
        b.look(360, 640, scheme)
        for press in None, "#show-settings", "#hide-settings", "#show-plan", "#show-plan":
            if press:
                b.click(press)
            wide = b.run("document.documentElement.scrollWidth")
            assert wide <= 360, f"{wide} pixels wide after {press}"
        seen = b.run("""["prompt", "new", "show-settings"].every((id) => {
            const r = document.getElementById(id).getBoundingClientRect();
            return r.width > 0 && r.left >= 0 && r.right <= 360 && r.bottom <= 640; })""")
        assert seen, "controls are out of sight"
    b.look(1280, 800)


def survives_a_restart(b, server):
    """A server that goes away is told, in an answer and after it; when it is back, the talk goes on."""
    say(b, "hello there")
    first = b.until(ANSWERED % 2, LONG)
    settings(b, max_tokens="")
    say(b, "and then")
    b.until("memory.turns.length === 4 && memory.turns.at(-1).text.length > 20", LONG)
    server.stop(signal.SIGKILL)
    b.until("document.querySelector('#notice').textContent.includes('does not answer')", LONG)
    b.until("running === null")
    assert b.run("memory.turns.at(-1).why") == "The connection to the server was lost"
    assert b.run("document.querySelector('#state').textContent") == "no answer"
    b.run("document.querySelector('#prompt').focus()")
    b.type("still there?")
    assert b.run("document.querySelector('#send').disabled"), "messages can be sent to nobody"
    b.press("Enter", 13, "\r")
    assert b.run("document.querySelector('#prompt').value") == "still there?", "the message is lost"
    server = Server(model, port=server.port)
    b.until("document.querySelector('#notice').textContent.startsWith('The server is back')", LONG)
    settings(b, max_tokens="24")
    b.press("Enter", 13, "\r")
    b.until(ANSWERED % 6, LONG)
    b.open(server.url)  # a page that is loaded again knows what was said
    b.until("document.querySelectorAll('article').length === 6")
    assert b.run("memory.turns[1].text") == first
    server.stop()  # told of in good order, too
    b.until("document.querySelector('#state').textContent === 'no answer'", LONG)
    return server


def asks_for_the_key(b, port):
    server = Server(model, "--api-key-file", "keys", port=port)
    try:
        b.until("document.querySelector('#ask').open", LONG)
        assert b.run("document.activeElement.id") == "key", "the key's field has no focus"
        b.type("nonsense")
        b.press("Enter", 13, "\r")
        b.until("document.querySelector('#ask').open && document.querySelector('#ask-title').textContent.includes('not know')", LONG)
        b.type("the-key-of-this-test")
        b.press("Enter", 13, "\r")
        b.until("document.querySelector('#state').dataset.is === 'up'", LONG)
        b.click("#new")
        say(b, "hello there")
        assert b.until(ANSWERED % 2, LONG) == open("plainly").read()
        b.click("#show-plan")
        b.until("document.querySelector('#plan svg text') !== null")
        assert "key" not in b.run("location.href") and b.run("localStorage.length") == 0
    finally:
        server.stop()


def continues_texts(b, port):
    """A model without a template."""
    server = Server("plain", port=port)
    try:
        b.run("sessionStorage.clear()")
        begin(b, server)
        assert "no chat template" in b.run("document.querySelector('#empty-text').textContent")
        settings(b, max_tokens="5")
        say(b, "To be, or")
        b.until(ANSWERED % 2, LONG)
    finally:
        server.stop()


server = Server(model)
b = Browser()
try:
    begin(b, server)
    b.look(1280, 800)
    types_and_reads(b)
    changes_the_system_prompt(b)
    streams_and_stops(b, server)
    shows_the_plan(b)
    is_safe(b)
    is_narrow(b)
    server = survives_a_restart(b, server)
    asks_for_the_key(b, server.port)
    continues_texts(b, server.port)
    assert not b.problems, "the console is not clean: " + json.dumps(b.problems, indent=1)[:3000]
except BaseException:
    print(b.run("JSON.stringify([is_gone, document.activeElement.id, $('prompt').value, memory], null, 1)"))
    raise
finally:
    b.close()
    server.stop(signal.SIGKILL)
