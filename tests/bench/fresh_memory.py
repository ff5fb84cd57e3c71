#!/usr/bin/env python3
"""
Bytes per second of reading files into memory that nobody has touched, past the page cache, with 8
threads: what a machine allows any program that keeps what it loads. Where a hypervisor gives a
machine its memory at the first touch, this is less than the disk's speed.

  fresh_memory.py FILE…
"""
import mmap
import os
import sys
import threading
import time

PIECE = 4 << 20
THREADS = 8


def whole_pieces(paths):
    """(descriptor, offset in the file) of every whole piece; the rest of a file is left out."""
    for path in paths:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
        except OSError:  # a file system without direct reads
            fd = os.open(path, os.O_RDONLY)
        for offset in range(0, os.fstat(fd).st_size // PIECE * PIECE, PIECE):
            yield fd, offset


def main(paths):
    pieces = list(whole_pieces(paths))
    memory = mmap.mmap(-1, max(1, len(pieces)) * PIECE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    view = memoryview(memory)
    todo = list(enumerate(pieces))[::-1]
    short = []

    def read():
        while todo:
            try:
                at, (fd, offset) = todo.pop()
            except IndexError:
                return
            try:
                if os.preadv(fd, [view[at * PIECE:(at + 1) * PIECE]], offset) != PIECE:
                    short.append("a read was short")
            except OSError as error:
                short.append(str(error))

    start = time.monotonic()
    threads = [threading.Thread(target=read) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if short:
        sys.exit(f"fresh_memory.py: {short[0]}")
    print(len(pieces) * PIECE / (time.monotonic() - start))


main(sys.argv[1:])
