#!/usr/bin/env python3
"""
Bytes per second that a plain reader gets of files past the page cache, into huge pages that it uses
over and over: the best of several sizes of pieces and numbers of threads, each of which has its turn
three times. fio is no measure of a disk here: its buffers are of small pages, for which the kernel
cuts requests, and it can have huge ones from hugetlbfs only.

  direct_read.py FILE…
"""
import ctypes
import mmap
import os
import sys
import threading
import time

SHAPES = ((8, 512 << 10), (4, 4 << 20), (2, 8 << 20))  # threads, bytes of a piece
SHARE = 256 << 20  # bytes that a shape reads in each turn; no more than the files have
TURNS = 3
HUGE = 2 << 20


def opened(paths):
    for path in paths:
        try:
            yield os.open(path, os.O_RDONLY | os.O_DIRECT)
        except OSError:  # a file system without direct reads
            yield os.open(path, os.O_RDONLY)


def buffers(threads, piece):
    # private, as shared memory has huge pages by another setting
    memory = mmap.mmap(-1, threads * piece + HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    for at in range(0, len(memory), 4096):
        memory[at] = 1
    first = -ctypes.addressof(ctypes.c_char.from_buffer(memory)) % HUGE
    view = memoryview(memory)[first:]
    return [view[i * piece:(i + 1) * piece] for i in range(threads)]


def read(spans, memory):
    todo = list(spans)[::-1]
    failed = []

    def work(buffer):
        while todo and not failed:
            try:
                fd, offset, length = todo.pop()
            except IndexError:
                return
            try:
                if os.preadv(fd, [buffer[:length]], offset) != length:
                    failed.append("a read was short")
            except OSError as error:
                failed.append(str(error))

    threads = [threading.Thread(target=work, args=(buffer,)) for buffer in memory]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit(f"direct_read.py: {failed[0]}")
    return time.monotonic() - start


def spans_of(files, piece):
    """(descriptor, offset, bytes) of the pieces, over and over; ends of files are left out."""
    while True:
        for fd in files:
            size = os.fstat(fd).st_size // 4096 * 4096
            for offset in range(0, size, piece):
                yield fd, offset, min(piece, size - offset)


def main(paths):
    files = list(opened(paths))
    bytes_there = sum(os.fstat(fd).st_size // 4096 * 4096 for fd in files)
    if bytes_there == 0:
        sys.exit("direct_read.py: nothing to read")
    took = [0.0] * len(SHAPES)
    had = [0] * len(SHAPES)
    memory = [buffers(*shape) for shape in SHAPES]
    spans = [spans_of(files, piece) for _, piece in SHAPES]
    for _ in range(TURNS):
        for i, (_, piece) in enumerate(SHAPES):
            share = [next(spans[i]) for _ in range(max(1, min(SHARE, bytes_there) // piece))]
            had[i] += sum(length for _, _, length in share)
            took[i] += read(share, memory[i])
    print(max(bytes_ / seconds for bytes_, seconds in zip(had, took)))


main(sys.argv[1:])
