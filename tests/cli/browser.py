"""A headless Chromium, driven over its debugging pipe (the Chrome DevTools Protocol) with nothing but
Python's own library."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

NAMES = "chromium", "chromium-browser", "google-chrome"


class Browser:
    """One page. `problems` collects what a careful person sees in its console: errors, exceptions,
    violations of the content policy, but not that a server did not answer."""

    def __init__(self, width=1280, height=800):
        program = next((p for p in map(shutil.which, NAMES) if p), None)
        if not program:
            raise FileNotFoundError("no Chromium")
        self.profile = tempfile.mkdtemp()
        to_read, self.to = os.pipe()
        self.out, to_write = os.pipe()
        command = [program, "--headless=new", "--remote-debugging-pipe", "--no-first-run",
                   "--user-data-dir=" + self.profile, "--disable-background-networking",
                   "--disable-component-update", "--disable-sync", "--disable-gpu",
                   "--disable-dev-shm-usage", "--hide-scrollbars", f"--window-size={width},{height}"]
        if os.getuid() == 0:
            command.append("--no-sandbox")
        # It reads commands from descriptor 3 and writes to 4.
        self.process = subprocess.Popen(
            ["sh", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "sh", *command, "about:blank"],
            pass_fds=(to_read, to_write), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(to_read)
        os.close(to_write)
        self.rest, self.number, self.problems, self.session = b"", 0, [], None
        target = next(t for t in self.ask("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.ask("Target.attachToTarget", targetId=target["targetId"],
                                flatten=True)["sessionId"]
        for domain in "Page", "Runtime", "Log", "Audits":
            self.ask(domain + ".enable")

    def close(self):
        try:
            self.session = None
            self.ask("Browser.close")
            self.process.wait(10)
        except (OSError, EOFError, TimeoutError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def _take(self, seconds):
        """The next message; None after so many seconds."""
        end = time.monotonic() + seconds
        while b"\0" not in self.rest:
            if not select.select([self.out], [], [], max(0, end - time.monotonic()))[0]:
                return None
            data = os.read(self.out, 1 << 16)
            if not data:
                raise EOFError("Chromium has ended")
            self.rest += data
        message, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(message)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, method, given):
        if method == "Runtime.exceptionThrown":
            self.problems.append(given["exceptionDetails"])
        elif method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
            self.problems.append(given["args"])
        elif method == "Log.entryAdded":
            entry = given["entry"]
            if entry["level"] in ("error", "warning") and entry["source"] != "network":
                self.problems.append(entry)
        elif method == "Audits.issueAdded" and "Policy" in given["issue"]["code"]:
            self.problems.append(given["issue"])

    def ask(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 60
        while time.monotonic() < end:
            answer = self._take(end - time.monotonic())
            if answer and answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
        raise TimeoutError(method)

    def run(self, script):
        """The value of a JavaScript expression."""
        out = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in out:
            raise RuntimeError(f"{script}: {out['exceptionDetails']}")
        return out["result"].get("value")

    def until(self, script, seconds=30):
        """Waits until the expression is true, and returns its value."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.run(script)
            if value:
                return value
            time.sleep(0.05)
        raise TimeoutError(f"not within {seconds} s: {script}\n" + self.run("document.body.innerText"))

    def open(self, url):
        self.ask("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def type(self, text):
        self.ask("Input.insertText", text=text)

    def press(self, key, code=0, text=None, shift=False):
        """A key as a person presses it: "Enter", "Tab", "Escape"."""
        more = {"text": text} if text else {}
        for kind in "keyDown", "keyUp":
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                     windowsVirtualKeyCode=code, modifiers=8 if shift else 0,
                     **(more if kind == "keyDown" else {}))

    def click(self, selector):
        """In its middle, with the mouse."""
        x, y = self.run(f"""(() => {{ const b = document.querySelector({json.dumps(selector)});
            b.scrollIntoView({{block: "nearest"}}); const r = b.getBoundingClientRect();
            return [r.x + r.width / 2, r.y + r.height / 2]; }})()""")
        for kind in "mousePressed", "mouseReleased":
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def look(self, width, height, scheme="light", scale=1):
        """From now on a screen of this size, in light or dark."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=scale, mobile=False)
        self.ask("Emulation.setEmulatedMedia",
                 features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        data = self.ask("Page.captureScreenshot", format="png", optimizeForSpeed=False)["data"]
        with open(path, "wb") as out:
            out.write(base64.b64decode(data))
