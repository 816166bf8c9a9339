"""A GPT-2 style decoder with TransformerLens's hook points.

TransformerLens's own trainable class of this name was removed in its version 4.0; the two pieces it
kept for hooking any module, `HookedRootModule` and `HookPoint`, are what this model stands on. Hook
names, `run_with_cache`, `run_with_hooks`, `hooks()` and `start_at_layer`/`stop_at_layer` are those
that TransformerLens users know. Two things differ: inputs may be continuous, and attention is
PyTorch's fused kernel unless its scores or pattern are hooked (the results differ by rounding).
"""

import enum
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from tvlens.errors import InputError


class Positions(enum.StrEnum):
    """How a model knows the order of its tokens."""

    LEARNED = "learned"
    """A learned vector per position id, added to the embedding (GPT-2)."""
    ROTARY = "rotary"
    """Queries and keys rotated by their position id (RoFormer, GPT-NeoX half-split form)."""
    NONE = "none"
    """Only the causal mask tells."""


@dataclass(frozen=True)
class ModelConfig:
    """Size and kind of a `HookedTransformer`."""

    n_layers: int = 3
    """Number of blocks."""
    d_model: int = 64
    """Width of the residual stream."""
    n_heads: int = 4
    """Attention heads per block; they share d_model evenly."""
    mlp_ratio: int = 4
    """Hidden width of the MLP in units of d_model."""
    n_ctx: int = 64
    """Length of the position table; longer prompts need rotary positions or none."""
    positions: Positions = Positions.LEARNED
    """How the model knows the order of its tokens."""
    init_std: float = 0.02
    """Standard deviation of initial weights; those that write into the residual stream are
    smaller by sqrt(2 n_layers), as in GPT-2."""

    def __post_init__(self) -> None:
        for name in ("n_layers", "d_model", "n_heads", "mlp_ratio", "n_ctx"):
            if getattr(self, name) < 1:
                raise InputError(f"ModelConfig.{name} is {getattr(self, name)}; give at least 1.")
        if self.d_model % self.n_heads:
            raise InputError(
                f"d_model {self.d_model} cannot be shared by {self.n_heads} heads evenly; "
                "make it a multiple."
            )
        if self.positions is Positions.ROTARY and self.d_head % 2:
            raise InputError(f"Rotary positions need an even head width, got {self.d_head}.")

    @property
    def d_head(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads


class Attention(nn.Module):
    """Causal multi-head attention."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.rotary = config.positions is Positions.ROTARY
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model)
        self.out = nn.Linear(config.d_model, config.d_model)
        self.hook_q, self.hook_k, self.hook_v = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_scores, self.hook_pattern, self.hook_z = (
            HookPoint(),
            HookPoint(),
            HookPoint(),
        )

    def forward(
        self,
        x: Float[Tensor, "batch position d_model"],
        position_ids: Int[Tensor, "#batch position"],
    ) -> Float[Tensor, "batch position d_model"]:
        """What the heads together add to the residual stream."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.n_heads, -1)).unbind(-3)
        q, k, v = self.hook_q(q), self.hook_k(k), self.hook_v(v)
        if self.rotary:
            q, k = _rotate(q, position_ids), _rotate(k, position_ids)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        if _is_hooked(self.hook_attn_scores) or _is_hooked(self.hook_pattern):
            z = self._explicit(q, k, v)
        else:
            z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(self.hook_z(z.transpose(1, 2)).flatten(-2))

    def _explicit(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The same as the fused kernel, with scores and pattern exposed."""
        future = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).triu(1)
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        scores = self.hook_attn_scores(scores.masked_fill(future, -torch.inf))
        return self.hook_pattern(scores.softmax(dim=-1)) @ v


class MLP(nn.Module):
    """Two linear maps with GPT-2's tanh-approximated GELU between."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.fc = nn.Linear(config.d_model, config.mlp_ratio * config.d_model)
        self.out = nn.Linear(config.mlp_ratio * config.d_model, config.d_model)
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()

    def forward(
        self, x: Float[Tensor, "batch position d_model"]
    ) -> Float[Tensor, "batch position d_model"]:
        """What the MLP adds to the residual stream."""
        return self.out(self.hook_post(F.gelu(self.hook_pre(self.fc(x)), approximate="tanh")))


class LayerNorm(nn.LayerNorm):
    """PyTorch's layer norm with TransformerLens's hook on its output."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.hook_normalized = HookPoint()

    def forward(self, input: Tensor) -> Tensor:
        """The normalised, scaled and shifted residual."""
        return self.hook_normalized(super().forward(input))


class Block(nn.Module):
    """One pre-norm layer: attention, then MLP, each added to the residual stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.ln1, self.attn = LayerNorm(config.d_model), Attention(config)
        self.ln2, self.mlp = LayerNorm(config.d_model), MLP(config)
        self.hook_resid_pre, self.hook_resid_mid = HookPoint(), HookPoint()
        self.hook_resid_post = HookPoint()
        self.hook_attn_out, self.hook_mlp_out = HookPoint(), HookPoint()

    def forward(
        self,
        residual: Float[Tensor, "batch position d_model"],
        position_ids: Int[Tensor, "#batch position"],
    ) -> Float[Tensor, "batch position d_model"]:
        """The residual stream after this layer."""
        residual = self.hook_resid_pre(residual)
        attn_out = self.hook_attn_out(self.attn(self.ln1(residual), position_ids))
        residual = self.hook_resid_mid(residual + attn_out)
        mlp_out = self.hook_mlp_out(self.mlp(self.ln2(residual)))
        return self.hook_resid_post(residual + mlp_out)


class HookedTransformer(HookedRootModule):
    """A decoder from vectors or tokens to vectors, with a hook point on every activation.

    Layer l below means a boundary of the residual stream: 0 is the embedded prompt, l the stream
    after block l, `config.n_layers` the stream after the last block.
    """

    def __init__(
        self,
        config: ModelConfig,
        d_in: int,
        d_out: int,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Build a model with fresh weights.

        Args:
            config: size and kind.
            d_in: width of an input vector, or size of the input vocabulary.
            d_out: width of an output vector, or size of the output vocabulary.
            generator: source of the initial weights, on the CPU so that a seed means the same on
                every device; PyTorch's global one if None.
            device: where the model is created.
            dtype: of all weights.
        """
        super().__init__()
        self.config, self.d_in, self.d_out = config, d_in, d_out
        with torch.device(device or torch.get_default_device()):
            self.W_E = nn.Parameter(torch.empty(d_in, config.d_model))
            if config.positions is Positions.LEARNED:
                self.W_pos = nn.Parameter(torch.empty(config.n_ctx, config.d_model))
                self.hook_pos_embed = HookPoint()
            self.hook_embed = HookPoint()
            self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
            self.ln_final = LayerNorm(config.d_model)
            self.unembed = nn.Linear(config.d_model, d_out)
        self.to(dtype)
        self._initialise(generator)
        self.setup()

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return self.config.n_layers

    def forward(
        self,
        inputs: Float[Tensor, "batch position d"] | Int[Tensor, "batch position"],
        position_ids: Int[Tensor, "#batch position"] | None = None,
        *,
        start_at_layer: int | None = None,
        stop_at_layer: int | None = None,
    ) -> Float[Tensor, "batch position d_result"]:
        """Run the model, or some of its layers.

        Args:
            inputs: vectors of width d_in, or token ids, which are read as one-hot vectors without
                making them. With `start_at_layer`, the residual stream at that layer.
            position_ids: 0, 1, 2, .. if None.
            start_at_layer: the layer that `inputs` is at. Blocks before it do not run.
            stop_at_layer: the layer whose residual stream is returned. Blocks after it do not run.

        Returns:
            Outputs of width d_out, or with `stop_at_layer` the residual stream of width d_model.

        Raises:
            InputError: a layer, width or length that the model does not have.
        """
        stop = self.n_layers if stop_at_layer is None else stop_at_layer
        start = start_at_layer or 0
        if not 0 <= start <= stop <= self.n_layers:
            raise InputError(
                f"Cannot run from layer {start} to layer {stop}: this model has residual "
                f"boundaries 0..{self.n_layers}, in that order."
            )
        if position_ids is None:
            position_ids = torch.arange(inputs.shape[1], device=inputs.device)[None]
        residual = self._embed(inputs, position_ids) if start_at_layer is None else inputs
        for block in self.blocks[start:stop]:
            residual = block(residual, position_ids)
        return residual if stop_at_layer is not None else self.unembed(self.ln_final(residual))

    def _embed(self, inputs: Tensor, position_ids: Tensor) -> Tensor:
        if inputs.is_floating_point():
            if inputs.shape[-1] != self.d_in:
                raise InputError(
                    f"The inputs are {inputs.shape[-1]} wide, this model reads {self.d_in}. Were "
                    "they made for another task or prompt format?"
                )
            residual = self.hook_embed(inputs.to(self.W_E.dtype) @ self.W_E)
        else:
            residual = self.hook_embed(F.embedding(inputs, self.W_E))
        if self.config.positions is not Positions.LEARNED:
            return residual
        if inputs.shape[1] > self.config.n_ctx:
            raise InputError(
                f"The prompt has {inputs.shape[1]} tokens, this model's position table holds "
                f"{self.config.n_ctx}. Give fewer examples, or train with a larger n_ctx, rotary "
                "positions or none."
            )
        return residual + self.hook_pos_embed(F.embedding(position_ids, self.W_pos))

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator | None) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                std = self.config.init_std
                if name.endswith("out.weight"):
                    std /= math.sqrt(2 * self.n_layers)
                values = torch.empty(parameter.shape, device="cpu").normal_(
                    0, std, generator=generator
                )
                parameter.copy_(values)
            elif name.endswith("bias"):
                parameter.zero_()


def _is_hooked(point: HookPoint) -> bool:
    return bool(point._forward_hooks or point._backward_hooks)


def _rotate(
    x: Float[Tensor, "batch position head d_head"], position_ids: Int[Tensor, "#batch position"]
) -> Float[Tensor, "batch position head d_head"]:
    """Rotary position embedding (Su et al., arXiv 2104.09864), dimension i paired with i + d/2."""
    half = x.shape[-1] // 2
    frequency = 10000.0 ** (-torch.arange(half, device=x.device, dtype=x.dtype) / half)
    angle = position_ids[..., None, None].to(x.dtype) * frequency
    first, second = x[..., :half], x[..., half:]
    return torch.cat(
        [first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], -1
    )
