"""Types into a program on a terminal of its own and waits for what it says. Used by test_completion.sh and
test_install.sh: typed.py SECONDS STEP… -- COMMAND…; a step is "wait:TEXT", "type:TEXT" (\\t and \\x03 mean the
keys), "fetch" (the first http address that was printed must answer) or "end:CODE". Prints all that came."""
import os
import pty
import re
import select
import sys
import time
import urllib.request

cut = sys.argv.index("--")
seconds, steps, command = float(sys.argv[1]), sys.argv[2:cut], sys.argv[cut + 1:]
child, terminal = pty.fork()
if child == 0:
    os.execvp(command[0], command)
deadline, said, seen = time.monotonic() + seconds, b"", 0


def read(wait):
    """What comes within that time; False: the program has closed its terminal."""
    global said
    if not select.select([terminal], [], [], wait)[0]:
        return True
    try:
        got = os.read(terminal, 65536)
    except OSError:
        return False
    said += got
    return bool(got)


def leave(why):
    print(said.decode(errors="replace"), flush=True)
    if why:
        os.kill(child, 9)
        sys.exit(f"typed.py: {why}")


for step in steps:
    kind, _, text = step.partition(":")
    text = text.encode().decode("unicode_escape").encode()
    if kind == "type":
        os.write(terminal, text)
    elif kind == "wait":
        while text not in said[seen:]:
            if time.monotonic() > deadline or not read(0.1):
                leave(f"never said {text!r}")
        seen += said[seen:].index(text) + len(text)
    elif kind == "fetch":
        address = re.search(rb"http://127[0-9.]+:[0-9]+", said)
        if not address or urllib.request.urlopen(address[0].decode() + "/", timeout=20).status != 200:
            leave("there is no page")
    elif kind == "end":
        while read(0.1):
            if time.monotonic() > deadline:
                leave("does not end")
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != int(text):
            leave(f"exit code {code}, not {int(text)}")
leave("")
