#!/usr/bin/env python3
"""Writes tests/checkpoint/data and the seeds of the weight-file fuzz targets, with the standard
library only: torch files are pickles by CPython's own pickler in zips laid out as torch does.

    make_fixtures.py            rewrites them beside this file; the result is always the same
"""
import collections
import io
import json
import pathlib
import pickle
import struct
import sys
import types
import zlib

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE / "data"
CORPUS = HERE.parent / "fuzz" / "corpus"

# name: (struct letter or "bf", bytes of an element, storage class, safetensors name)
TYPES = {
    "f32": ("f", 4, "FloatStorage", "F32"), "f16": ("e", 2, "HalfStorage", "F16"),
    "bf16": ("bf", 2, "BFloat16Storage", "BF16"), "f64": ("d", 8, "DoubleStorage", "F64"),
    "i64": ("q", 8, "LongStorage", "I64"), "i32": ("i", 4, "IntStorage", "I32"),
    "i16": ("h", 2, "ShortStorage", "I16"), "i8": ("b", 1, "CharStorage", "I8"),
    "u8": ("B", 1, "ByteStorage", "U8"), "bool": ("?", 1, "BoolStorage", "BOOL"),
}


def pack(dtype, values):
    letter = TYPES[dtype][0]
    if letter == "bf":
        return b"".join(struct.pack("<f", v)[2:] for v in values)
    return b"".join(struct.pack("<" + letter, v) for v in values)


# ---- torch names as stand-ins, so that the pickler writes GLOBALs of these modules ----

def stand_in(module, name, make):
    parts = module.split(".")
    for i in range(len(parts)):
        sys.modules.setdefault(".".join(parts[:i + 1]), types.ModuleType(parts[i]))
    make.__module__, make.__qualname__, make.__name__ = module, name, name
    setattr(sys.modules[module], name, make)
    return make


rebuild = stand_in("torch._utils", "_rebuild_tensor_v2", lambda *a: None)
parameter = stand_in("torch._utils", "_rebuild_parameter", lambda *a: None)
classes = {t: stand_in("torch", row[2], type(row[2], (), {})) for t, row in TYPES.items()}
stranger = stand_in("os", "fixture_stranger", lambda *a: None)


class Storage:
    def __init__(self, dtype, values, key):
        self.dtype, self.values, self.key = dtype, list(values), key


class Tensor:
    def __init__(self, storage, offset, shape, stride, wrap=False):
        self.storage, self.offset, self.shape, self.stride = storage, offset, shape, stride
        self.wrap = wrap

    def values(self):
        out, index = [], [0] * len(self.shape)
        if 0 in self.shape:
            return out
        while True:
            at = self.offset + sum(i * s for i, s in zip(index, self.stride))
            out.append(self.storage.values[at])
            for d in reversed(range(len(self.shape))):
                index[d] += 1
                if index[d] < self.shape[d]:
                    break
                index[d] = 0
            else:
                return out


class Stranger:
    def __reduce__(self):
        return stranger, ("never called",)


class Pickler(pickle.Pickler):
    def __init__(self, file, protocol, legacy):
        super().__init__(file, protocol=protocol)
        self.legacy, self.storages = legacy, {}

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        self.storages[obj.key] = obj
        identity = ("storage", classes[obj.dtype], obj.key, "cpu", len(obj.values))
        return identity + (None,) if self.legacy else identity

    def reducer_override(self, obj):
        if not isinstance(obj, Tensor):
            return NotImplemented
        made = rebuild, (obj.storage, obj.offset, obj.shape, obj.stride, False,
                         collections.OrderedDict())
        if not obj.wrap:
            return made
        plain = Tensor(obj.storage, obj.offset, obj.shape, obj.stride)
        return parameter, (plain, True, collections.OrderedDict())


def pickled(obj, protocol, legacy=False):
    file = io.BytesIO()
    pickler = Pickler(file, protocol, legacy)
    pickler.dump(obj)
    return file.getvalue(), pickler.storages


# ---- containers ----

def zipped(entries, zip64=False, align=64, trust_local=False, method=0):
    out, central = bytearray(), bytearray()
    for name, body in entries:
        name = name.encode()
        head = 30 + len(name)
        extra = b""
        if align:
            fill = -(len(out) + head + 4) % align
            extra = b"FB" + struct.pack("<H", fill) + b"Z" * fill
        crc, at, flags = zlib.crc32(body), len(out), 0 if trust_local else 0x0808
        sizes = (crc, len(body), len(body)) if trust_local else (0, 0, 0)
        out += struct.pack("<IHHHHHIIIHH", 0x04034B50, 0, flags, method, 0, 0, *sizes, len(name),
                           len(extra)) + name + extra + body
        if not trust_local:
            out += struct.pack("<IIII", 0x08074B50, crc, len(body), len(body))
        full, more = 0xFFFFFFFF, b""
        size = len(body)
        if zip64:
            more = struct.pack("<HHQQQ", 1, 24, size, size, at)
            size = at = full
        central += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 0, 0, flags, method, 0, 0, crc,
                               size, size, len(name), len(more), 0, 0, 0, 0, at) + name + more
    start, n = len(out), len(entries)
    out += central
    if zip64:
        out += struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, n, n, len(central), start)
        out += struct.pack("<IIQI", 0x07064B50, 0, start + len(central), 1)
        out += struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    else:
        out += struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, n, n, len(central), start, 0)
    return bytes(out)


def torch_zip(obj, protocol=2, byteorder="little", root="archive", script=False, **how):
    body, storages = pickled(obj, protocol)
    entries = [(root + "/data.pkl", body)]
    if byteorder:
        entries.append((root + "/byteorder", byteorder.encode()))
    if script:
        entries.append((root + "/constants.pkl", b"\x80\x02)."))
    entries += [(f"{root}/data/{s.key}", pack(s.dtype, s.values)) for s in storages.values()]
    entries.append((root + "/version", b"3\n"))
    return zipped(entries, **how)


def torch_legacy(obj, little=True):
    facts = {"protocol_version": 1001, "little_endian": little,
             "type_sizes": {"short": 2, "int": 4, "long": 4}}
    body, storages = pickled(obj, 2, legacy=True)
    out = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    out += pickle.dumps(facts, 2) + body + pickle.dumps(sorted(storages), 2)
    for key in sorted(storages):
        s = storages[key]
        out += struct.pack("<q", len(s.values)) + pack(s.dtype, s.values)
    return out


def safetensors(tensors, metadata=None, pad=True):
    header, body = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, (dtype, shape, values) in tensors.items():
        data = pack(dtype, values)
        header[name] = {"dtype": TYPES[dtype][3], "shape": list(shape),
                        "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    if pad:
        text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


# ---- the fixtures ----

def mixed():
    ramp = Storage("f32", [i / 4 - 3 for i in range(24)], "0")
    half = Storage("f16", [i * 0.5 for i in range(6)], "1")
    brain = Storage("bf16", [i - 8.0 for i in range(12)], "2")
    long = Storage("i64", [-1, 2**40], "3")
    out = collections.OrderedDict()
    out["plain"] = Tensor(ramp, 0, (4, 6), (6, 1))
    out["tied"] = Tensor(ramp, 0, (4, 6), (6, 1), wrap=True)
    out["transposed"] = Tensor(ramp, 0, (6, 4), (1, 6))
    out["sliced"] = Tensor(ramp, 7, (3, 2), (6, 2))
    out["repeated"] = Tensor(ramp, 2, (3, 5), (0, 1))
    out["cube"] = Tensor(ramp, 1, (2, 3, 2), (1, 4, 12))
    out["half"] = Tensor(half, 2, (4,), (1,))
    out["brain"] = Tensor(brain, 0, (3, 4), (4, 1))
    out["huge_stride"] = Tensor(brain, 4, (1, 4), (2**33, 1))
    out["scalar"] = Tensor(long, 1, (), ())
    out["empty"] = Tensor(half, 0, (0, 5), (5, 1))
    for i, dtype in enumerate(["f64", "i32", "i16", "i8", "u8", "bool"]):
        out[dtype] = Tensor(Storage(dtype, [1, 0, 1], str(4 + i)), 0, (3,), (1,))
    return out


def write(folder, name, data):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


# ---- GGUF ----

def gguf_text(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf(values, tensors, alignment=32):
    """values: (key, kind, packed value); tensors: (name, dims, type, bytes of data)"""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values))
    for key, kind, packed in values:
        head += gguf_text(key) + struct.pack("<I", kind) + packed
    data = b""
    for name, dims, kind, size in tensors:
        head += gguf_text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(data))
        data += bytes(i % 251 for i in range(size)) + bytes(-size % alignment)
    return head + bytes(-len(head) % alignment) + data


def gguf_seeds():
    tokens = struct.pack("<IQ", 8, 3) + b"".join(map(gguf_text, ["a", "", "\u2581the"]))
    values = [("general.architecture", 8, gguf_text("llama")),
              ("general.alignment", 4, struct.pack("<I", 64)),
              ("llama.rope.freq_base", 6, struct.pack("<f", 1e6)),
              ("llama.block_count", 10, struct.pack("<Q", 2)),
              ("tokenizer.ggml.add_bos_token", 7, b"\1"),
              ("tokenizer.ggml.tokens", 9, tokens),
              ("tokenizer.ggml.token_type", 9, struct.pack("<IQ3i", 5, 3, 1, 2, 3))]
    tensors = [("token_embd.weight", (64, 3), 8, 6 * 34), ("output_norm.weight", (64,), 0, 256),
               ("blk.0.ffn_up_exps.weight", (256, 2, 2), 12, 4 * 144)]
    return {"mixed": gguf(values, tensors, 64), "none": gguf([], []),
            "tensors": gguf([], [("a", (3,), 1, 6), ("b", (32,), 39, 17), ("c", (), 30, 2)])}


def main():
    state = mixed()
    expected = {k: (t.storage.dtype, t.shape, t.values()) for k, t in state.items()}
    small = {"a": Tensor(Storage("f32", range(6), "small"), 1, (2, 2), (1, 2))}
    torch = {
        "mixed_zip.bin": torch_zip(state),
        "mixed_zip4.bin": torch_zip(state, protocol=4, root="shard", byteorder=None),
        "mixed_zip64.bin": torch_zip(state, zip64=True, trust_local=True, align=0),
        "mixed_legacy.bin": torch_legacy(state),
        "nested_zip.bin": torch_zip({"epoch": 3, "lr": 0.5, "state_dict": state,
                                     "args": Stranger(), "other": {"b": small["a"]}}),
    }
    bad = {
        "big_endian_zip.bin": torch_zip(small, byteorder="big"),
        "big_endian_legacy.bin": torch_legacy(small, little=False),
        "script_zip.bin": torch_zip(small, script=True),
        "compressed_zip.bin": torch_zip(small, method=8),
        "no_tensors_zip.bin": torch_zip({"epoch": 3}),
        "outside_zip.bin": torch_zip({"a": Tensor(Storage("f32", range(6), "0"), 3, (2, 2), (2, 1))}),
        "stranger_zip.bin": torch_zip(Stranger()),
    }
    plain = safetensors(expected, {"format": "pt"})
    for name, data in {**torch, **bad}.items():
        write(DATA / "torch", name, data)
    write(DATA / "torch", "expected.safetensors", plain)
    write(DATA / "torch", "expected_unaligned.safetensors", safetensors(expected, None, pad=False))

    first = {"x.weight": ("bf16", (2, 3), range(6)), "tied": ("f32", (2,), [1, 2])}
    second = {"y.weight": ("f16", (3,), range(3)), "tied": ("f32", (2,), [1, 2]),
              "unlisted": ("u8", (1,), [7])}
    names = ["model_00001-of-00002.safetensors", "model_00002-of-00002.safetensors"]
    index = {"metadata": {"total_size": 30.0},
             "weight_map": {"x.weight": names[0], "tied": names[0], "y.weight": names[1]}}
    write(DATA / "sharded", names[0], safetensors(first))
    write(DATA / "sharded", names[1], safetensors(second))
    write(DATA / "sharded", "model.safetensors.index.json", json.dumps(index, indent=1).encode())

    tiny = collections.OrderedDict((k, state[k]) for k in ["plain", "tied", "huge_stride", "scalar"])
    seeds = {
        "safetensors": {"mixed": plain, "unaligned": safetensors(expected, None, pad=False),
                        "none": safetensors({}), "small": safetensors(first)},
        "torch_zip": {"mixed": torch["mixed_zip.bin"], "zip64": torch["mixed_zip64.bin"],
                      "nested": torch_zip({"model": tiny}, align=0), "small": torch_zip(small, align=0)},
        "torch_legacy": {"mixed": torch["mixed_legacy.bin"], "small": torch_legacy(small),
                         "nested": torch_legacy({"state_dict": tiny})},
        "torch_pickle": {"mixed2": pickled(state, 2)[0], "mixed4": pickled(state, 4)[0],
                         "small": pickled(small, 2)[0], "view": pickled(tiny, 2, True)[0],
                         "nested": pickled({"model": small, "n": [1, 2.5, None, True, 2**70,
                                            {1, 2}, frozenset([3]), "x" * 300]}, 4)[0]},
        "index": {"sharded": json.dumps(index).encode(),
                  "leaves": b'{"weight_map":{"a":"../b"}}', "empty": b'{"weight_map":{}}'},
        "gguf": gguf_seeds(),
    }
    for target, files in seeds.items():
        for name, data in files.items():
            write(CORPUS / target, name, data)


if __name__ == "__main__":
    main()
