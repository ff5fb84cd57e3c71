#!/usr/bin/env python3
"""Writes gguf/NAME/model.gguf: tiny checkpoints as llama.cpp's own converter makes GGUF of them.

    make_gguf_files.py LLAMA_CPP OUTPUT_DIRECTORY [NAME…]

LLAMA_CPP is a checkout of llama.cpp. A row of FILES is a checkpoint of tiny/ or t5/ and what its
config.json has to say otherwise, where GGUF cannot say what it says; such a one is made anew. A row of
FORMS is one of those in another form, with the same answers. What transformers answers lies beside each
as expected.safetensors. There are no tokenizers in them.
"""

import argparse
import json
import logging
import os
import pathlib
import shutil
import sys
import tempfile

import torch
from safetensors import safe_open
from safetensors.torch import save_file

import make_reference
import make_t5
from tiny_routed import MSCALE
from tiny_specs import SPECS

HERE = pathlib.Path(__file__).resolve().parent
FILES = {
    "falcon": {"num_kv_heads": 1},  # which the converter does not see otherwise
    "falcon_40b": {},
    "phi3": {"sliding_window": None},  # llama.cpp has no windows of Phi-3
    "seed_oss": {},
    "ministral3": {},
    "olmo3": {},
    "gpt_oss": {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128,
                                 "beta_fast": 8.0, "beta_slow": 1.0, "truncate": False}},  # with a ramp
    "gpt_oss_mxfp4": {},
    "qwen2_moe": {"mlp_only_layers": []},  # and no layers without experts here
    "olmoe": {},
    "granitemoe": {},
    "glm4_moe": {},
    "glm4_moe_air": {},
    "ernie4_5_moe": {},
    "minimax_m2": {},
    "deepseek_v2": {"topk_method": "greedy", "n_group": 1, "topk_group": 1, "rope_scaling": MSCALE | {"mscale": 0.8}},
    "deepseek_v2_lite": {"rope_scaling": MSCALE | {"mscale": 0.8}},  # GGUF has one of both
    "deepseek_v3": {},
    "glm4_moe_lite": {"mlp_layer_types": ["dense", "sparse", "sparse"], "first_k_dense_replace": 1},
    "youtu": {},
    # llama.cpp knows one length of chunks and one growth of queries, and each fourth layer without rope
    "llama4": {"no_rope_layers": [1, 1, 1, 0], "attention_chunk_size": 8192, "floor_scale": 8192, "attn_scale": 0.1},
    "qwen3_next": {"mlp_only_layers": []},
    "qwen3_5": {},
    "qwen3_5_moe": {},
    "gemma4": {},
    "gemma4_moe": {},
    "gemma4_e": {},
    # GGUF does not say how far apart buckets reach, and its names are for layers of the encoder
    "t5": {"relative_attention_max_distance": 128, "num_decoder_layers": 2},
    "t5_v1_1": {"relative_attention_max_distance": 128},
}
# The same checkpoints in other forms: what the file is of, and how it differs
FORMS = {
    "qwen3_next_by_head": ("qwen3_next", "by_head"),  # as llama.cpp's converter wrote them at first
    "glm4_moe_guesses": ("glm4_moe", "guesses"),
    "qwen3_5_guesses": ("qwen3_5", "guesses"),
    "gemma4_fused": ("gemma4", "fused"),  # --fuse-qkv, where a layer has all three
    "seed_oss_fused": ("seed_oss", "fused"),  # their biases, too
}
KINDS = {"BF16": "MOSTLY_BF16", "F16": "MOSTLY_F16", "F32": "ALL_F32"}


def dtype_of(folder):
    """What most of a checkpoint's tensors are."""
    for path in sorted(folder.glob("model*.safetensors")):
        with safe_open(path, "pt") as f:
            return f.get_slice(sorted(f.keys())[0]).get_dtype()
    return "F16" if "float16" in (folder / "config.json").read_text() else "BF16"


def without_vocabulary(kind):
    kind.set_vocab = lambda self: None
    for derived in kind.__subclasses__():
        without_vocabulary(derived)


def add_guesses(folder):
    """A layer that guesses further tokens, behind those of the model: one of them again."""
    config = json.loads((folder / "config.json").read_text())
    n, hidden, tensors = config["num_hidden_layers"], config["hidden_size"], {}
    qwen = config["model_type"].startswith("qwen")
    layer, first = ("mtp.layers.0", 0) if qwen else (f"model.layers.{n}", n - 1)  # a layer with attention
    with safe_open(folder / "model.safetensors", "pt") as f:
        for name in f.keys():
            if name.startswith(f"model.layers.{first}."):
                tensors[name.replace(f"model.layers.{first}", layer)] = f.get_tensor(name)
    names = ["mtp.fc", "mtp.pre_fc_norm_embedding", "mtp.pre_fc_norm_hidden", "mtp.norm"]
    if not qwen:
        names = [f"{layer}.{name}" for name in ("eh_proj", "enorm", "hnorm", "shared_head.norm")]
    generator = torch.Generator().manual_seed(14)
    for name, shape in zip(names, ((hidden, 2 * hidden), (hidden,), (hidden,), (hidden,))):
        tensors[f"{name}.weight"] = torch.randn(shape, generator=generator).to(torch.bfloat16)
    save_file(tensors, folder / "model-guesses.safetensors")
    config["mtp_num_hidden_layers" if qwen else "num_nextn_predict_layers"] = 1
    (folder / "config.json").unlink()  # a link
    (folder / "config.json").write_text(json.dumps(config))


def by_head(kind):
    """One product for q, k, v and z of delta nets, with its rows as they lie in the checkpoint."""
    import gguf

    class ByHead(kind):
        model_arch = kind.model_arch

        def modify_tensors(self, data_torch, name, bid):
            if "in_proj_qkvz.weight" in name:
                yield self.format_tensor_name(gguf.MODEL_TENSOR.SSM_IN, bid, ".weight"), data_torch
            else:
                yield from super().modify_tensors(data_torch, name, bid)

    return ByHead


def convert(folder, out, form):
    import gguf
    from conversion import ModelBase, ModelType, TextModel, get_model_architecture, get_model_class

    hparams = ModelBase.load_hparams(folder, False)
    kind = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
    without_vocabulary(TextModel)
    kind.no_mtp = form != "guesses"
    if form == "by_head":
        kind = by_head(kind)
    vocab = {str(i): i for i in range(hparams["vocab_size"])}  # Gemma's count them, and nothing else
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocab}, "added_tokens": []}))
    with torch.inference_mode():
        ftype = gguf.LlamaFileType[KINDS[dtype_of(folder)]]
        kind(folder, ftype, out, model_name=out.parent.name, fuse_qkv=form == "fused").write()


def make(name, form, out):
    changes = FILES[name]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = HERE / "tiny" / name
        if name in make_t5.SPECS:
            folder = pathlib.Path(scratch)
            make_t5.SPECS[name] |= changes
            make_t5.write(scratch, name)
        elif changes:
            spec = next(s for s in SPECS if s["name"] == name)
            folder = pathlib.Path(scratch)
            make_reference.make(spec | {"config": spec["config"] | changes, "matters": []}, scratch)
        shutil.copy(folder / "expected.safetensors", out)
        source = pathlib.Path(tempfile.mkdtemp(dir=scratch))
        for file in folder.iterdir():
            if file.is_file() and file.name != "expected.safetensors":
                os.symlink(file, source / file.name)
        if form == "guesses":
            add_guesses(source)
        convert(source, out / "model.gguf", form)
    print(f"{out.name}: {os.path.getsize(out / 'model.gguf')} bytes", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("llama_cpp", type=pathlib.Path)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    sys.path[:0] = [str(args.llama_cpp), str(args.llama_cpp / "gguf-py")]
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    for name in args.names or [*FILES, *FORMS]:
        make(*FORMS.get(name, (name, None)), args.directory / name)


if __name__ == "__main__":
    main()
