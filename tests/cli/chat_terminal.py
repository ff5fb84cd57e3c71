"""Talks with `spillway chat` on a pseudo-terminal. Used by test_chat_verb.sh, in its work folder:
chat_terminal.py EDITS ANSWER COMMAND…; EDITS: 1 where lines can be edited; ANSWER: to "To be, or"."""
import os
import pty
import select
import sys
import time

edits, answer, command = sys.argv[1] == "1", sys.argv[2].encode(), sys.argv[3:]


class Terminal:
    def __init__(self, *arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.execvp(command[0], [*command, "chat", *arguments])
        self.text = b""

    def until(self, what, seconds=90):
        end = time.monotonic() + seconds
        while what not in self.text:
            if time.monotonic() > end:
                sys.exit(f"not within {seconds} s: {what} in {self.text[-2000:]}")
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self.fd, 65536)
                except OSError:
                    sys.exit(f"it has ended before {what}: {self.text[-2000:]}")
        before, self.text = self.text.split(what, 1)
        return before.replace(b"\r\n", b"\n")

    def type(self, text):
        time.sleep(0.3)  # as a person, after the prompt
        os.write(self.fd, text.encode())

    def ends(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    os.read(self.fd, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        sys.exit("it does not end")


t = Terminal("talker", "-n", "8")
t.until(b"> ")
if edits:
    t.type("o bx\x7fe, \u00e4\x7for\x01T\r")  # backspaces, one over a wide character; Ctrl-A
else:
    t.type("To be, or\r")
assert answer in t.until(b"\n> "), "another answer"
if edits:
    t.type("half a line\x03")  # Ctrl-C gives it up
    t.until(b"> ")
    t.type("/reset\r")
    t.until(b"> ")
    t.type("\x1b[A\x1b[A\r")  # up, up: the first message again
    assert answer in t.until(b"\n> "), "no history"
t.type("/quit\r")
assert t.ends() == 0, "/quit"

t = Terminal("long", "--weights-from", "random", "--context", "4096", "--temperature", "1", "--threads", "1")
t.until(b"> ")
t.type("x\r")
t.until(b"\n")
end = time.monotonic() + 60
while len(t.text) < 40 and time.monotonic() < end:
    if select.select([t.fd], [], [], 0.2)[0]:
        t.text += os.read(t.fd, 65536)
os.write(t.fd, b"\x03")  # Ctrl-C stops the answer, not the program
t.until(b"chat: stopped")
t.type("/help\r")
t.until(b"Ctrl-C stops")
t.type("\x04")
assert t.ends() == 0, "Ctrl-D"
