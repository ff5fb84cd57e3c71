"""Writes docs/page-light.png and docs/page-dark.png anew: serve's page in Chromium, while a model answers.
page_screenshots.py URL FOLDER, with a server of a model that chats (two ranks show more)."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../cli"))
from browser import Browser  # noqa: E402

url, folder = sys.argv[1:3]
QUESTION = "What is a spillway, and why does a dam need one? Answer in one short paragraph and a list of three points."


def shoot(b, name, scheme, button):
    b.look(920, 600, scheme)
    b.run("document.querySelector('#new').click()")
    b.type(QUESTION)
    b.press("Enter", 13, "\r")
    b.until("memory.turns.length === 2 && (memory.turns[1].text.length > 230 || !running)", 120)
    b.until("[...document.querySelectorAll('.track')].every((t) => Number(t.getAttribute('aria-valuenow')) > 8) || !running", 60)
    b.click(button)
    time.sleep(0.8)
    b.screenshot(os.path.join(folder, name))
    b.run("stop()")
    b.click(button)


b = Browser()
try:
    b.open(url)
    b.until("document.querySelector('#state').dataset.is === 'up'", 60)
    b.run("memory.settings = {...defaults, temperature: '0.6', system: 'Answer briefly and in plain words.', seed: '7'}; fill_settings()")
    shoot(b, "page-light.png", "light", "#show-plan")
    shoot(b, "page-dark.png", "dark", "#show-settings")
finally:
    b.close()
