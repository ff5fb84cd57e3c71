#!/usr/bin/env python3
"""The figures of tests/gpu/static.sh, of what nvcc and cuobjdump say of compiled kernels."""
import argparse
import glob
import re
import subprocess
import sys

# Of an architecture: threads, blocks and KiB of shared memory that a multiprocessor holds; lanes that
# it serves a cycle: all instructions, f32, whole numbers, memory. (CUDA's programming guide and the
# tuning guides.) f32 has IMAD as well.
ARCHS = {
    75: (1024, 16, 64, 128, 64, 64, 16),
    80: (2048, 32, 164, 128, 64, 64, 32),
    86: (1536, 16, 100, 128, 128, 64, 16),
    90: (2048, 32, 228, 128, 128, 64, 32),
    100: (2048, 32, 228, 128, 128, 64, 32),
    120: (1536, 24, 100, 128, 128, 128, 32),
}
# Multiprocessors, GHz and GB/s, by the data sheets.
CARDS = {
    "TITAN RTX": (75, 72, 1.77, 672),
    "3090": (86, 82, 1.695, 936),
    "A100": (80, 108, 1.41, 2039),
    "H200": (90, 132, 1.98, 4800),
}
LATENCY = 800e-9  # seconds from a load to its data, in a busy memory
BITS = {}  # of a weight, by format, in the order of the table of formats: what format_bits.c prints
CLASSES = {}  # the format that each class of a kernel is for
VECTORS = {"f32": 4, "f16": 8, "bf16": 8, "int8": 16, "q8_0": 16}
ROWS, LANE_COLUMNS, THREADS = 4, 8, 128  # of a block of gemv.cuh; block_planes.cuh


class Kernel:
    def __init__(self, name):
        self.name = name
        self.registers = self.spilled = self.shared = 0
        self.loop = None  # instructions of the main loop, by their names

    def gemv(self):
        """(format, whole, tokens) of a GEMV, else None."""
        found = re.search(r"\bgemv_blocks<(.+), (true|false), (\d)>", self.name)
        if found:
            return CLASSES.get(plain_class(found[1])), found[2] == "true", int(found[3])
        found = re.search(r"\bgemv_int8<(true|false), (\d)>", self.name)
        if found:
            return "int8", found[1] == "true", int(found[2])
        found = re.search(r"\bgemv<.*?plain_weights<\(sw_dtype\)(\d)>, (true|false), (\d)>", self.name)
        if found:
            return ("f32", "f16", "bf16")[int(found[1])], found[2] == "true", int(found[3])
        found = re.search(r"\bgemv<.*?(\w+)_weights, (true|false), (\d)>", self.name)
        return found and (found[1], found[2] == "true", int(found[3]))

    def weights(self):
        """Weights that a thread multiplies in a turn of the main loop."""
        of, _, tokens = self.gemv()
        if "gemv_blocks" in self.name:
            return ROWS * LANE_COLUMNS * (4 if tokens <= 2 else 2)
        return ROWS * VECTORS[of]


def plain_class(name):
    """A class without its namespaces and spaces."""
    return re.sub(r"\w+::|\s|\(anonymous namespace\)::", "", name)


def read_formats(bits):
    """Bits by format, and the classes that kernels/cuda/weights_*.cu name for formats."""
    for line in bits.splitlines():
        name, value = line.split()
        BITS[name] = float(value)
    for path in glob.glob("kernels/cuda/weights_*.cu"):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        aliases = dict((name, of) for of, name in re.findall(r"typedef ([^;]+?) (\w+);", text))
        aliases |= dict(re.findall(r"using (\w+) = ([^;]+);", text))
        for format, of in re.findall(r"sw_gpu_format_(\w+) = format_of<(.+)>\(\)", text):
            CLASSES[plain_class(aliases.get(of, of))] = format


def missing(of_arch):
    """Formats without a row, of files that were compiled."""
    there = {kernel.gemv()[0] for kernels in of_arch.values() for kernel in kernels.values() if kernel.gemv()}
    return [format for format in BITS if format not in there]


def demangled(names):
    out = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return dict(zip(names, out.stdout.splitlines()))


def read_log(path):
    kernels = {}
    name = spilled = None
    with open(path, encoding="utf-8") as file:
        for line in file:
            if found := re.search(r"Compiling entry function '(\w+)'", line):
                name = found[1]
            elif found := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
                spilled = int(found[1]) + int(found[2])
            elif name and (found := re.search(r"Used (\d+) registers", line)):
                kernels[name] = kernel = Kernel(name)
                kernel.registers, kernel.spilled = int(found[1]), spilled
                shared = re.search(r"(\d+) bytes smem", line)
                kernel.shared = int(shared[1]) if shared else 0
                name = None
    return kernels


def read_code(dump, path):
    """Instructions of each kernel: (address, text)."""
    out = subprocess.run([dump, "-sass", path], capture_output=True, text=True, check=True).stdout
    codes, code = {}, None
    for line in out.splitlines():
        if found := re.search(r"Function : (\S+)", line):
            code = codes.setdefault(found[1], [])
        elif code is not None and (found := re.match(r"\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;", line)):
            code.append((int(found[1], 16), found[2]))
    return codes


def main_loop(code):
    """The longest loop in which no lanes are joined and nothing ends: the names of its instructions."""
    best = None
    for i, (at, text) in enumerate(code):
        found = re.match(r"(?:@!?U?P\d\s+)?BRA(?:\.U\S*)?\s+(?:!?U?P\d,\s*)?0x([0-9a-f]+)", text)
        if not found or int(found[1], 16) >= at:
            continue
        loop = [re.sub(r"^@!?U?PT?\d?\s+", "", t).split()[0] for a, t in code[: i + 1] if a >= int(found[1], 16)]
        joins = ("SHFL.BFLY", "SHFL.DOWN", "SHFL.UP", "EXIT", "RET")  # SHFL.IDX is a table's look-up
        if not any(name.startswith(joins) for name in loop) and len(loop) > len(best or ()):
            best = loop
    return best


def blocks(kernel, arch):
    """Blocks of a GEMV that a multiprocessor holds: as many as threads, registers and memory allow."""
    threads, most, shared = ARCHS[arch][:3]
    registers = (kernel.registers + 7) // 8 * 8 * THREADS
    reserved = kernel.shared + (1024 if arch >= 80 else 0)
    return min(threads // THREADS, most, 65536 // registers, shared * 1024 // max(reserved, 1))


def lanes(kernel):
    """Instructions of the main loop, of all kinds, of f32, of whole numbers, of memory."""
    names = [n.split(".")[0] for n in kernel.loop if n != "NOP"]
    memory = sum(n in ("LDG", "LDS", "STS", "STG", "SHFL", "LD", "ST") for n in names)
    floats = sum(n in ("FFMA", "FADD", "FMUL", "IMAD", "HFMA2", "HADD2", "FSEL") for n in names)
    others = sum(n in ("BRA", "BSSY", "BSYNC", "WARPSYNC") or n.startswith(("U", "R2U")) for n in names)
    return len(names), floats, len(names) - floats - memory - others, memory


def share(kernel, card):
    """Of the memory's bandwidth: what loads under way and instructions allow."""
    arch, multiprocessors, ghz, bandwidth = CARDS[card]
    weights, bytes_of_weight = kernel.weights(), BITS[kernel.gemv()[0]] / 8
    under_way = blocks(kernel, arch) * THREADS * weights * bytes_of_weight
    allowed = [multiprocessors * under_way / (LATENCY * bandwidth * 1e9)]
    if kernel.loop:
        of_memory = bytes_of_weight * weights / (bandwidth * 1e9)
        for instructions, width in zip(lanes(kernel), ARCHS[arch][3:]):
            allowed.append(of_memory / (max(instructions, 1) / (multiprocessors * ghz * 1e9 * width)))
    return min(1, *allowed)


def cell(kernel, card):
    arch = CARDS[card][0]
    weights = kernel.weights()
    under_way = blocks(kernel, arch) * THREADS * weights * BITS[kernel.gemv()[0]] / 8 / 1024
    instructions = "%.1f" % (lanes(kernel)[0] / weights) if kernel.loop else "?"
    return "%d, %d, %s: %d%%" % (kernel.registers, under_way, instructions, 100 * share(kernel, card))


def gemv_table(of_arch):
    cards = [card for card, of in CARDS.items() if of[0] in of_arch]
    rows = {}
    for card in cards:
        for kernel in of_arch[CARDS[card][0]].values():
            of = kernel.gemv()
            if of and of[1] and of[0] in BITS:
                rows.setdefault((list(BITS).index(of[0]), of[2]), {})[card] = cell(kernel, card)
    out = ["| weights | tokens | %s |" % " | ".join(cards), "|---|---|" + "---|" * len(cards)]
    for (index, tokens), cells in sorted(rows.items()):
        of = " | ".join(cells.get(card, "") for card in cards)
        out.append("| %s | %d | %s |" % (list(BITS)[index], tokens, of))
    return "\n".join(out)


def entry(options, of_arch):
    return """### Without a GPU: what the compiled products allow

Commit %s, nvcc %s, `tests/gpu/static.sh`. Of products of one to eight tokens: registers a thread, KiB of weights
under way a multiprocessor, instructions a weight of the main loop, and the share of the memory's bandwidth that
these allow at most. Nothing here was measured. Bytes under way allow bytes × multiprocessors / (%d ns × bandwidth);
instructions allow, of all kinds, of f32 (and IMAD), of whole numbers and of memory, the lanes that a multiprocessor
serves a cycle × its cycles / instructions, each against the bandwidth; the share is the least of these.

%s
""" % (options.commit, options.nvcc, LATENCY * 1e9, gemv_table(of_arch))


def insert(page, text):
    with open(page, encoding="utf-8") as file:
        old = file.read()
    head = text.split("\n", 1)[0]
    old = re.sub(re.escape(head) + r"\n.*?(?=\n##|\Z)", "", old, flags=re.S)
    if "## Queue\n" not in old:
        sys.exit("%s: there is no Queue section" % page)
    new = re.sub(r"\n+## Queue\n", lambda _: "\n\n" + text + "\n## Queue\n", old, count=1)
    with open(page, "w", encoding="utf-8") as file:
        file.write(new)


def main():
    parser = argparse.ArgumentParser()
    for name in ("folder", "archs", "dump", "into", "commit", "nvcc", "bits"):
        parser.add_argument("--" + name, default="")
    parser.add_argument("--whole", action="store_true", help="every format must have products")
    parser.add_argument("files", nargs="*", help="none: only looks whether each format has a class")
    options = parser.parse_args()
    read_formats(options.bits)
    unnamed = [format for format in BITS if format not in CLASSES.values() and format not in VECTORS]
    if unnamed:
        sys.exit("kernels/cuda/weights_*.cu name no class for " + ", ".join(unnamed))
    if not options.files:
        return
    of_arch, spilled = {}, []
    for arch in map(int, options.archs.split()):
        of_arch[arch] = {}
        for name in options.files:
            path = "%s/%s.%d" % (options.folder, name, arch)
            kernels = read_log(path + ".log")
            codes = read_code(options.dump, path + ".cubin") if options.dump and kernels else {}
            plain = demangled(list(kernels))
            for mangled, kernel in kernels.items():
                kernel.name = plain[mangled].replace("(anonymous namespace)::", "")
                kernel.loop = main_loop(codes[mangled]) if mangled in codes else None
                of_arch[arch][mangled] = kernel
                short = re.sub(r"^void |\(.*\)$|sw::(products|blocks|halves)::", "", kernel.name)
                print("sm_%d %-60s %3d registers, %d bytes spilled, %d shared"
                      % (arch, short[:60], kernel.registers, kernel.spilled, kernel.shared))
                if kernel.spilled and kernel.gemv():
                    spilled.append("sm_%d %s" % (arch, short))
    text = entry(options, of_arch)
    print("\n" + text)
    if options.into:
        insert(options.into, text)
    if options.whole and missing(of_arch):
        sys.exit("no product was found of " + ", ".join(missing(of_arch)))
    if spilled:
        sys.exit("these products spill registers: " + "; ".join(spilled))


main()
