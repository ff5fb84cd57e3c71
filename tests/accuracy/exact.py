"""Logits of a Llama GGUF by the exact product: weights decoded by llama.cpp's gguf package, all
arithmetic in f64. Also makes the random models that accuracy.py compares on."""
import json
import math
import pathlib

import gguf
import numpy as np


class Exact:
    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.t = {t.name: t for t in reader.tensors}
        key = lambda name: reader.fields["llama." + name].contents()
        self.layers, self.heads = key("block_count"), key("attention.head_count")
        self.kv = key("attention.head_count_kv")
        self.eps = key("attention.layer_norm_rms_epsilon")
        self.base = key("rope.freq_base") if "llama.rope.freq_base" in reader.fields else 10000.0

    def weight(self, name):
        t = self.t[name]
        return gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64)

    def norm(self, x, name):
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps)
        return x * self.weight(name).reshape(-1)

    def rope(self, x):  # (n, heads, head_dim), neighbouring pairs as Llama's in GGUF
        n, _, d = x.shape
        angle = np.arange(n)[:, None] * self.base ** (-np.arange(0, d, 2) / d)
        c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
        out = np.empty_like(x)
        out[..., 0::2] = x[..., 0::2] * c - x[..., 1::2] * s
        out[..., 1::2] = x[..., 0::2] * s + x[..., 1::2] * c
        return out

    def attention(self, x, b):
        n = len(x)
        q, k, v = (x @ self.weight(f"{b}attn_{m}.weight").T for m in "qkv")
        q = self.rope(q.reshape(n, self.heads, -1))
        k = self.rope(k.reshape(n, self.kv, -1)).repeat(self.heads // self.kv, 1)
        v = v.reshape(n, self.kv, -1).repeat(self.heads // self.kv, 1)
        scores = np.einsum("ihd,jhd->hij", q, k) / math.sqrt(q.shape[-1])
        scores[:, np.triu(np.ones((n, n), bool), 1)] = -np.inf
        p = np.exp(scores - scores.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        return np.einsum("hij,jhd->ihd", p, v).reshape(n, -1) @ self.weight(b + "attn_output.weight").T

    def logits(self, ids):
        x = self.weight("token_embd.weight")[ids]
        for i in range(self.layers):
            b = f"blk.{i}."
            x = x + self.attention(self.norm(x, b + "attn_norm.weight"), b)
            y = self.norm(x, b + "ffn_norm.weight")
            gate = y @ self.weight(b + "ffn_gate.weight").T
            y = gate / (1 + np.exp(-gate)) * (y @ self.weight(b + "ffn_up.weight").T)
            x = x + y @ self.weight(b + "ffn_down.weight").T
        head = "output.weight" if "output.weight" in self.t else "token_embd.weight"
        return self.norm(x, "output_norm.weight") @ self.weight(head).T


def make_random(folder, seed):
    """A Llama of 4 layers whose rows are whole blocks of 256; weights keep the size of what they
    multiply, so that logits depend on all layers."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    hidden, mlp, heads, kv, layers, vocab = 512, 1024, 8, 4, 4, 1024
    rng = np.random.default_rng(seed)
    tensors = {}
    matrix = lambda name, rows, cols, scale=1.0: tensors.__setitem__(
        name, rng.standard_normal((rows, cols), np.float32) * np.float32(scale / math.sqrt(cols)))
    norm = lambda name: tensors.__setitem__(name, 1 + rng.standard_normal(hidden, np.float32) / 8)
    matrix("model.embed_tokens.weight", vocab, hidden, math.sqrt(hidden))
    for i in range(layers):
        b = f"model.layers.{i}."
        norm(b + "input_layernorm.weight")
        norm(b + "post_attention_layernorm.weight")
        for m, rows in (("q", hidden), ("k", hidden * kv // heads), ("v", hidden * kv // heads), ("o", hidden)):
            matrix(f"{b}self_attn.{m}_proj.weight", rows, hidden)
        for m, rows, cols in (("gate", mlp, hidden), ("up", mlp, hidden), ("down", hidden, mlp)):
            matrix(f"{b}mlp.{m}_proj.weight", rows, cols)
    norm("model.norm.weight")
    matrix("lm_head.weight", vocab, hidden, 4)
    header, data = {}, b""
    for name, t in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(data), len(data) + t.nbytes]}
        data += t.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float32",
        "hidden_size": hidden, "intermediate_size": mlp, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv, "vocab_size": vocab,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2}))
