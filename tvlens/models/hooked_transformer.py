"""A GPT-2 style decoder with TransformerLens's hook points.

TransformerLens's own trainable class of this name was removed in its version 4.0; the two pieces it
kept for hooking any module, `HookedRootModule` and `HookPoint`, are what this model stands on. Hook
names, `run_with_cache`, `run_with_hooks`, `hooks()` and `start_at_layer`/`stop_at_layer` are those
that TransformerLens users know. Two things differ: inputs may be continuous, and attention is
PyTorch's fused kernel unless its scores or pattern are hooked (the results differ by rounding).
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from tvlens.base.errors import InputError
from tvlens.models.config import Positions, TransformerConfig


class Attention(nn.Module):
    """Causal multi-head attention."""

    def __init__(self, config: TransformerConfig) -> None:
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

    @property
    def W_O(self) -> Float[Tensor, "head d_head d_model"]:
        """How each head writes into the residual stream, under TransformerLens's name."""
        return self.out.weight.T.unflatten(0, (self.n_heads, -1))

    @property
    def b_O(self) -> Float[Tensor, " d_model"]:
        """What all heads together add whatever they see, under TransformerLens's name."""
        return self.out.bias

    def forward(
        self,
        x: Float[Tensor, "batch position d_model"],
        rotation: Float[Tensor, "2 #batch position 1 d_head"] | None = None,
        only: slice | None = None,
        mask: Float[Tensor, "position position"] | None = None,
    ) -> Float[Tensor, "batch query d_model"]:
        """What the heads together add to the residual stream.

        Args:
            x: the stream after its norm.
            rotation: of queries and keys, see `_rotation`.
            only: the positions that attend, all if None; every position is attended to.
            mask: added to the scores, see `attention_mask`; causal if None.
        """
        q, k, v = self._project(x, only)
        q, k, v = self.hook_q(q), self.hook_k(k), self.hook_v(v)
        if rotation is not None:
            q = _rotate(q, rotation if only is None else rotation[:, :, only])
            k = _rotate(k, rotation)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        if only is not None:
            mask = _visible(k.shape[-2], only, k.device) if mask is None else mask[only]
        if self._must_be_explicit(q):
            z = self._explicit(q, k, v, mask)
        else:
            causal = mask is None
            z = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        return self.out(self.hook_z(z.transpose(1, 2)).flatten(-2))

    def _project(self, x: Tensor, only: slice | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, "batch position head d_head"."""
        if only is None:
            q, k, v = self.qkv(x).unflatten(-1, (3, self.n_heads, -1)).unbind(-3)
            return q, k, v
        d_model = x.shape[-1]
        weight, bias = self.qkv.weight, self.qkv.bias
        q = F.linear(x[:, only], weight[:d_model], bias[:d_model])
        k, v = F.linear(x, weight[d_model:], bias[d_model:]).chunk(2, dim=-1)
        q, k, v = (each.unflatten(-1, (self.n_heads, -1)) for each in (q, k, v))
        return q, k, v

    def _must_be_explicit(self, q: Tensor) -> bool:
        """Whether the fused kernel cannot serve: somebody wants the pattern, or the CPU would run
        its backward pass in bfloat16, which takes longer there than in float32.
        """
        wanted = _is_hooked(self.hook_attn_scores) or _is_hooked(self.hook_pattern)
        return wanted or (q.device.type == "cpu" and torch.is_autocast_enabled("cpu"))

    def _explicit(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """The same as the fused kernel, with scores and pattern exposed."""
        if mask is None:
            mask = _visible(k.shape[-2], slice(None), k.device)
        if mask.dtype is torch.bool:
            mask = attention_mask(mask, q.dtype)
        scores = torch.baddbmm(
            mask,
            q.flatten(0, 1),
            k.flatten(0, 1).transpose(-1, -2),
            alpha=1 / math.sqrt(q.shape[-1]),
        ).unflatten(0, q.shape[:2])
        return self.hook_pattern(self.hook_attn_scores(scores).softmax(dim=-1)) @ v


class MLP(nn.Module):
    """Two linear maps with GPT-2's tanh-approximated GELU between."""

    def __init__(self, config: TransformerConfig) -> None:
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

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.ln1, self.attn = LayerNorm(config.d_model), Attention(config)
        self.ln2, self.mlp = LayerNorm(config.d_model), MLP(config)
        self.hook_resid_pre, self.hook_resid_mid = HookPoint(), HookPoint()
        self.hook_resid_post = HookPoint()
        self.hook_attn_out, self.hook_mlp_out = HookPoint(), HookPoint()

    def forward(
        self,
        residual: Float[Tensor, "batch position d_model"],
        rotation: Float[Tensor, "2 #batch position 1 d_head"] | None = None,
        only: slice | None = None,
        mask: Float[Tensor, "position position"] | None = None,
    ) -> Float[Tensor, "batch query d_model"]:
        """The residual stream after this layer, at the positions `only`, or all."""
        residual = self.hook_resid_pre(residual)
        attn_out = self.hook_attn_out(self.attn(self.ln1(residual), rotation, only, mask))
        if only is not None:
            residual = residual[:, only]
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
        config: TransformerConfig,
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
        self.matrices = [
            f"blocks.{name}" for name, each in self.blocks.named_parameters() if each.dim() == 2
        ]
        """Names of the weights that Muon may orthogonalise."""
        self._initialise(generator)
        self.setup()

    causal = True
    """No token sees those to the right of it, unless a call gives a mask."""

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return self.config.n_layers

    @property
    def max_tokens(self) -> int | None:
        """Tokens that the position table holds; None where positions need none."""
        return self.config.n_ctx if self.config.positions is Positions.LEARNED else None

    def forward(
        self,
        inputs: Float[Tensor, "batch position d"] | Int[Tensor, "batch position"],
        position_ids: Int[Tensor, "#batch position"] | None = None,
        *,
        start_at_layer: int | None = None,
        stop_at_layer: int | None = None,
        only: slice | None = None,
        mask: Float[Tensor, "position position"] | None = None,
    ) -> Float[Tensor, "batch query d_result"]:
        """Run the model, or some of its layers.

        Args:
            inputs: vectors of width d_in, or token ids, which are read as one-hot vectors without
                making them. With `start_at_layer`, the residual stream at that layer.
            position_ids: 0, 1, 2, .. if None.
            start_at_layer: the layer that `inputs` is at. Blocks before it do not run.
            stop_at_layer: the layer whose residual stream is returned. Blocks after it do not run.
            only: the positions that are returned, all if None. In the last block that runs, the
                others give their keys and values and nothing else is computed of them.
            mask: who attends to whom, from `attention_mask`; causal if None. It lets several
                prompts share a sequence, whose length is then not held against the position table
                (`check_length` is for each prompt).

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
        if start_at_layer is None and mask is None:
            self.check_length(inputs.shape[1])
        residual = self._embed(inputs, position_ids) if start_at_layer is None else inputs
        rotation = self._rotation(position_ids, residual.dtype) if start < stop else None
        for layer in range(start, stop):
            block, last = self.blocks[layer], layer == stop - 1
            residual = block(residual, rotation, only if last else None, mask)
        if start == stop and only is not None:
            residual = residual[:, only]
        return residual if stop_at_layer is not None else self.unembed(self.ln_final(residual))

    def check_length(self, n_tokens: int) -> None:
        """Raise InputError if a prompt is longer than the table of learned positions."""
        if self.max_tokens is not None and n_tokens > self.max_tokens:
            raise InputError(
                f"The prompt has {n_tokens} tokens, this model's position table holds "
                f"{self.max_tokens}. Give fewer examples, or train with a larger n_ctx, rotary "
                "positions or none."
            )

    def _rotation(
        self, position_ids: Int[Tensor, "#batch position"], dtype: torch.dtype
    ) -> Float[Tensor, "2 #batch position 1 d_head"] | None:
        """Cosine and signed sine of rotary positions (Su et al., arXiv 2104.09864), where dimension
        i is paired with i + d_head / 2; None for other kinds of positions.
        """
        if self.config.positions is not Positions.ROTARY:
            return None
        half = self.config.d_head // 2
        frequency = 10000.0 ** (-torch.arange(half, device=position_ids.device, dtype=dtype) / half)
        angle = position_ids[..., None, None].to(dtype) * frequency
        cosine, sine = angle.cos(), angle.sin()
        return torch.stack([torch.cat([cosine, cosine], -1), torch.cat([-sine, sine], -1)])

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
        if self.max_tokens is None:
            return residual
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


def attention_mask(
    visible: Bool[Tensor, "query position"], dtype: torch.dtype
) -> Float[Tensor, "query position"]:
    """What is added to scores so that each position attends to those it may see: 0, or -inf."""
    return torch.zeros_like(visible, dtype=dtype).masked_fill(~visible, -torch.inf)


def _is_hooked(point: HookPoint) -> bool:
    return bool(point._forward_hooks or point._backward_hooks)


def _visible(length: int, only: slice, device: torch.device) -> Bool[Tensor, "query position"]:
    """Which of `length` positions each of some positions attends to."""
    position = torch.arange(length, device=device)
    return position <= position[only][:, None]


def _rotate(
    x: Float[Tensor, "batch position head d_head"],
    rotation: Float[Tensor, "2 #batch position 1 d_head"],
) -> Float[Tensor, "batch position head d_head"]:
    cosine, sine = rotation
    return torch.addcmul(x * cosine, x.roll(x.shape[-1] // 2, -1), sine)
