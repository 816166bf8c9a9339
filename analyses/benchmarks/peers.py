"""The same GPT-2 shaped model as different libraries build it, each as that library's users would.

All read vectors through a linear map, add learned positions, run pre-norm blocks with the tanh GELU
and read out one number per token. Libraries are imported only by the peer that needs them, so a
peer runs wherever its own library is installed. They are built on PyTorch's default device.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Size:
    """What is computed in one step; the same for all peers."""

    d_model: int = 64
    """Width of the residual stream."""
    tokens: int = 47
    """Length of a prompt: three tokens per example, and two of a last one that is only asked."""
    batch: int = 256
    """Prompts per step."""
    n_layers: int = 3
    """Number of blocks."""
    d_in: int = 9
    """Width of an input vector."""

    @property
    def n_heads(self) -> int:
        """Attention heads per block."""
        return 4 if self.d_model < 256 else 8

    @property
    def answers(self) -> slice:
        """The tokens whose outputs the loss looks at."""
        return slice(1, self.tokens, 3)


class Peer(NamedTuple):
    """A model and how it is called."""

    modules: nn.Module
    """Owner of all the parameters."""
    outputs: Callable[[Tensor], Tensor]
    """From inputs "batch position d_in" to outputs at the answers, "batch answer 1"."""


def tvlens(size: Size) -> Peer:
    """The model that tvlens trains."""
    from tvlens.models import HookedTransformer, TransformerConfig

    config = TransformerConfig(size.n_layers, size.d_model, size.n_heads, n_ctx=size.tokens)
    model = HookedTransformer(config, size.d_in, 1)
    return Peer(model, lambda inputs: model(inputs)[:, size.answers])


def tvlens_answers(size: Size) -> Peer:
    """The same as tvlens trains it: of the last block, the answers only."""
    model = tvlens(size).modules
    return Peer(model, lambda inputs: model(inputs, only=size.answers))


def plain(size: Size) -> Peer:
    """No library: what one writes by hand when hooks are of no interest."""
    model = Plain(size)
    return Peer(model, lambda inputs: model(inputs)[:, size.answers])


def transformer_lens_3(size: Size) -> Peer:
    """The HookedTransformer that TransformerLens had until its version 3.9."""
    import transformer_lens

    # TransformerLens 4, which pyright sees, has neither class.
    library: Any = transformer_lens
    config = library.HookedTransformerConfig(
        d_vocab=1, normalization_type="LN", **_transformer_lens(size)
    )
    model = library.HookedTransformer(config)
    read_in = nn.Linear(size.d_in, size.d_model, bias=False)

    def outputs(inputs: Tensor) -> Tensor:
        residual = read_in(inputs) + model.pos_embed.W_pos[: size.tokens]
        return model(residual, start_at_layer=0)[:, size.answers]

    return Peer(nn.ModuleList([read_in, model]), outputs)


def boot_native(size: Size) -> Peer:
    """What took HookedTransformer's place in TransformerLens 4."""
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    # TransformerLens attaches boot_native when it is imported, where pyright does not see it.
    bridge = TransformerBridge.boot_native(  # pyright: ignore[reportAttributeAccessIssue]
        TransformerBridgeConfig(d_vocab=0, **_transformer_lens(size))
    )
    read_in = nn.Linear(size.d_in, size.d_model, bias=False)
    return Peer(
        nn.ModuleList([read_in, bridge]), lambda inputs: bridge(read_in(inputs))[:, size.answers]
    )


def hugging_face(size: Size, activation: str = "gelu_new") -> Peer:
    """GPT2Model of Hugging Face transformers, with the activation that it has by default."""
    from transformers import GPT2Config, GPT2Model

    # The others have no dropout. A dictionary, since pyright misses a keyword of the base class.
    options: dict[str, Any] = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    options |= {"attn_implementation": "sdpa", "use_cache": False}
    config = GPT2Config(
        vocab_size=1,
        n_positions=size.tokens,
        n_embd=size.d_model,
        n_layer=size.n_layers,
        n_head=size.n_heads,
        activation_function=activation,
        bos_token_id=0,
        eos_token_id=0,
        **options,
    )
    model = GPT2Model(config)
    read_in, read_out = nn.Linear(size.d_in, size.d_model, bias=False), nn.Linear(size.d_model, 1)

    def outputs(inputs: Tensor) -> Tensor:
        hidden = model(inputs_embeds=read_in(inputs)).last_hidden_state
        return read_out(hidden)[:, size.answers]

    return Peer(nn.ModuleList([read_in, model, read_out]), outputs)


def hugging_face_fused(size: Size) -> Peer:
    """The same with PyTorch's own tanh GELU, which computes the same in one kernel."""
    return hugging_face(size, "gelu_pytorch_tanh")


PEERS: dict[str, Callable[[Size], Peer]] = {
    "tvlens": tvlens,
    "tvlens-answers": tvlens_answers,
    "plain": plain,
    "transformer-lens-3": transformer_lens_3,
    "boot-native": boot_native,
    "hugging-face": hugging_face,
    "hugging-face-fused": hugging_face_fused,
}


def _transformer_lens(size: Size) -> dict[str, Any]:
    """What the configurations of TransformerLens 3 and 4 have in common."""
    return {
        "n_layers": size.n_layers,
        "d_model": size.d_model,
        "n_heads": size.n_heads,
        "d_head": size.d_model // size.n_heads,
        "d_mlp": 4 * size.d_model,
        "n_ctx": size.tokens,
        "d_vocab_out": 1,
        "act_fn": "gelu_new",
        # Left to itself, version 3 takes a GPU where there is one, and moves inputs to it.
        "device": str(torch.get_default_device()),
    }


class PlainBlock(nn.Module):
    """One pre-norm layer, with nanoGPT's names."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.n_heads, width = size.n_heads, size.d_model
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.c_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """The residual stream after this layer."""
        qkv = self.c_attn(self.ln_1(x)).chunk(3, dim=-1)
        q, k, v = (each.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for each in qkv)
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(z.transpose(1, 2).flatten(-2))
        return x + self.c_out(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class Plain(nn.Module):
    """GPT-2 on vectors, as short as it gets."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.wte = nn.Linear(size.d_in, size.d_model, bias=False)
        self.wpe = nn.Parameter(0.02 * torch.randn(size.tokens, size.d_model))
        self.h = nn.Sequential(*(PlainBlock(size) for _ in range(size.n_layers)))
        self.ln_f, self.lm_head = nn.LayerNorm(size.d_model), nn.Linear(size.d_model, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs at all tokens."""
        return self.lm_head(self.ln_f(self.h(self.wte(inputs) + self.wpe)))
