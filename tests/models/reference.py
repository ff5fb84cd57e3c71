"""What Hugging Face transformers answers for a checkpoint, in float32 on the CPU.

Shared by make_reference.py, train_shakespeare.py and compare_hf.py. Needs torch, transformers and
safetensors; nothing is fetched, every model comes from a directory.
"""

import hashlib
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import transformers
from safetensors.torch import save_file

GREEDY_TOKENS = 64
# A greedy step counts as safe when the best logit leads by this share of the largest one.
SAFE_GAP = 1e-3

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def class_of(directory):
    """What config.json asks for: AutoModelForCausalLM does not know those that are a part of other models."""
    names = transformers.AutoConfig.from_pretrained(directory, local_files_only=True).architectures or [""]
    return getattr(transformers, names[0], transformers.AutoModelForCausalLM)


def load(directory, attention="eager"):
    """The model in float32, or as bitsandbytes has it, with plain attention unless it says otherwise, and what the loader had to say about its keys."""
    model, info = class_of(directory).from_pretrained(
        directory,
        dtype=torch.float32,
        attn_implementation=attention,
        experts_implementation="eager",
        local_files_only=True,
        output_loading_info=True,
    )
    if getattr(model, "hf_quantizer", None) is None:  # one of bitsandbytes stays as it is
        model = model.float()
    return model.eval(), info


@torch.no_grad()
def logits_of(model, ids):
    """(n_tokens, vocab) float32."""
    return model(torch.tensor([ids]), use_cache=False).logits[0].float()


@torch.no_grad()
def hidden_of(model, ids):
    """`embed`, what the first layer is given, and `hidden.<i>`, what layer i gives: (n_tokens, hidden)."""
    layers = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList))
    states = {}

    def before(_, args, kwargs):
        states["embed"] = (args[0] if args else kwargs["hidden_states"])[0].float().clone()

    def after(i):
        def keep(_, args, out):
            states[f"hidden.{i}"] = (out[0] if isinstance(out, tuple) else out)[0].float().clone()

        return keep

    handles = [layers[0].register_forward_pre_hook(before, with_kwargs=True)]
    handles += [layer.register_forward_hook(after(i)) for i, layer in enumerate(layers)]
    logits_of(model, ids)
    for handle in handles:
        handle.remove()
    return states


@torch.no_grad()
def greedy(model, ids, count=GREEDY_TOKENS):
    """`count` ids continued greedily, and the smallest lead of a step as a share of its logits.

    Every step computes the whole sequence anew: slow, and nothing a cache could spoil.
    """
    ids, out, smallest = list(ids), [], float("inf")
    for _ in range(count):
        last = model(torch.tensor([ids]), use_cache=False).logits[0, -1].float()
        best = last.topk(2)
        lead = (best.values[0] - best.values[1]).item() / last.abs().max().item()
        smallest = min(smallest, lead)
        out.append(best.indices[0].item())
        ids.append(out[-1])
    return out, smallest


def write_expected(path, ids, logits, greedy_ids, hidden=None):
    tensors = {
        "input_ids": torch.tensor(ids, dtype=torch.int64),
        "logits": logits,
        "greedy_ids": torch.tensor(greedy_ids, dtype=torch.int64),
    } | (hidden or {})
    tensors = {name: t.contiguous() for name, t in tensors.items()}
    save_file(tensors, path, metadata={"format": "pt"})


def sha256_of(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def versions():
    import safetensors
    import tokenizers

    return (
        f"torch {torch.__version__}, transformers {transformers.__version__}, "
        f"safetensors {safetensors.__version__}, tokenizers {tokenizers.__version__}"
    )
