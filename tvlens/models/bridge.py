"""Weights to and from TransformerLens's own trainable model, `TransformerBridge.boot_native`.

Both directions copy: the two models share no memory. Outputs agree up to rounding. Three things
that a bridge does differently:

- A float input is taken as already embedded. The bridge of a model of vectors is therefore called
  as `bridge(inputs @ model.W_E)`; with token ids it is called as `bridge(ids)`.
- It has no prompt longer than `n_ctx`, whatever the kind of positions.
- The bias of its read-out is a buffer, which further training of the bridge leaves as it is.
"""

import math
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor, nn

from tvlens.base.errors import InputError
from tvlens.models.hooked_transformer import HookedTransformer, Positions, TransformerConfig

if TYPE_CHECKING:
    # Slow, so imported by the functions that need it.
    import transformer_lens.model_bridge


def to_bridge(model: HookedTransformer) -> "transformer_lens.model_bridge.TransformerBridge":
    """A native TransformerLens model with the same weights.

    Rotary positions: a bridge rotates neighbouring dimensions of a head, so those of its queries
    and keys are in another order than ours (i and i + d_head/2 become 2i and 2i + 1); it keeps
    its angles in float32, so a float64 model agrees to float32 rounding only. No positions: the
    bridge gets a position table of zeros that does not train.
    """
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    config = model.config
    # TransformerLens attaches boot_native when it is imported, where pyright does not see it.
    bridge = TransformerBridge.boot_native(  # pyright: ignore[reportAttributeAccessIssue]
        TransformerBridgeConfig(
            n_layers=config.n_layers,
            d_model=config.d_model,
            n_heads=config.n_heads,
            d_head=config.d_head,
            d_mlp=config.mlp_ratio * config.d_model,
            n_ctx=config.n_ctx,
            d_vocab=model.d_in,
            d_vocab_out=model.d_out,
            act_fn="gelu_new",
            normalization_type="LN",
            positional_embedding_type=(
                "rotary" if config.positions is Positions.ROTARY else "standard"
            ),
            initializer_range=config.init_std,
            dtype=model.W_E.dtype,
            # Any seed: the weights are replaced, and with one PyTorch's generator stays as it is.
            seed=0,
        ),
        device=model.W_E.device,
        dtype=model.W_E.dtype,
    )
    bridge.load_state_dict(_bridge_weights(model))
    if config.positions is Positions.NONE:
        _position_table(bridge).requires_grad_(False)
    return bridge


def from_bridge(
    bridge: "transformer_lens.model_bridge.TransformerBridge",
) -> HookedTransformer:
    """A tvlens model with the weights of a native TransformerLens model.

    A position table of zeros that does not train becomes `Positions.NONE`.

    Raises:
        InputError: the bridge computes something that a `HookedTransformer` cannot.
    """
    _check_convertible(bridge)
    cfg, weights = bridge.cfg, bridge.state_dict()
    config = TransformerConfig(
        n_layers=cfg.n_layers,
        d_model=cfg.d_model,
        n_heads=cfg.n_heads,
        mlp_ratio=weights["blocks.0.mlp.in.bias"].shape[0] // cfg.d_model,
        n_ctx=cfg.n_ctx,
        positions=_positions(bridge),
        init_std=float(cfg.initializer_range),
    )
    embedding, unembedding = weights["embed.weight"], weights["unembed.weight"]
    model = HookedTransformer(
        config,
        d_in=embedding.shape[0],
        d_out=unembedding.shape[0],
        generator=torch.Generator().manual_seed(0),
        device=embedding.device,
        dtype=embedding.dtype,
    )
    model.load_state_dict(_our_weights(config, weights))
    return model


def _bridge_weights(model: HookedTransformer) -> dict[str, Tensor]:
    config, ours = model.config, model.state_dict()
    theirs = {their_name: ours[name] for name, their_name in _names(config).items()}
    for attention in _attentions(config):
        for kind in ("weight", "bias"):
            q, k, v = ours[f"{attention}.qkv.{kind}"].chunk(3)
            if config.positions is Positions.ROTARY:
                q, k = _to_neighbours(q, config), _to_neighbours(k, config)
            for letter, weight in zip("qkv", (q, k, v), strict=True):
                theirs[f"{attention}.{letter}.{kind}"] = weight
    if config.positions is Positions.NONE:
        theirs["pos_embed.weight"] = model.W_E.new_zeros(config.n_ctx, config.d_model)
    return theirs


def _our_weights(config: TransformerConfig, theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    ours = {name: theirs[their_name] for name, their_name in _names(config).items()}
    for attention in _attentions(config):
        for kind in ("weight", "bias"):
            q, k, v = (theirs[f"{attention}.{letter}.{kind}"] for letter in "qkv")
            if config.positions is Positions.ROTARY:
                q, k = _to_halves(q, config), _to_halves(k, config)
            ours[f"{attention}.qkv.{kind}"] = torch.cat([q, k, v])
    return ours


def _names(config: TransformerConfig) -> dict[str, str]:
    """What a bridge calls our weights; those of queries, keys and values excepted."""
    modules = {"ln_final": "ln_final", "unembed": "unembed"}
    for layer in range(config.n_layers):
        for ours, theirs in (
            ("ln1", "ln1"),
            ("attn.out", "attn.o"),
            ("ln2", "ln2"),
            ("mlp.fc", "mlp.in"),
            ("mlp.out", "mlp.out"),
        ):
            modules[f"blocks.{layer}.{ours}"] = f"blocks.{layer}.{theirs}"
    names = {
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in modules.items()
        for kind in ("weight", "bias")
    }
    names["W_E"] = "embed.weight"
    if config.positions is Positions.LEARNED:
        names["W_pos"] = "pos_embed.weight"
    return names


def _attentions(config: TransformerConfig) -> list[str]:
    return [f"blocks.{layer}.attn" for layer in range(config.n_layers)]


def _to_neighbours(weight: Tensor, config: TransformerConfig) -> Tensor:
    """Bring the two dimensions that rotate together next to each other, in every head."""
    return rearrange(weight, "(head two i) ... -> (head i two) ...", head=config.n_heads, two=2)


def _to_halves(weight: Tensor, config: TransformerConfig) -> Tensor:
    """The inverse of `_to_neighbours`."""
    return rearrange(weight, "(head i two) ... -> (head two i) ...", head=config.n_heads, two=2)


def _positions(bridge: "transformer_lens.model_bridge.TransformerBridge") -> Positions:
    if bridge.cfg.positional_embedding_type == "rotary":
        return Positions.ROTARY
    table = _position_table(bridge)
    unused = not table.requires_grad and not table.any()
    return Positions.NONE if unused else Positions.LEARNED


def _position_table(bridge: "transformer_lens.model_bridge.TransformerBridge") -> nn.Parameter:
    return bridge.pos_embed.weight


def _check_convertible(bridge: "transformer_lens.model_bridge.TransformerBridge") -> None:
    cfg = bridge.cfg
    no_cap = (None, -1.0, 0.0)
    for what, got, usable in (
        ("architecture", cfg.architecture, ("TransformerLensNative",)),
        ("compatibility_mode", bridge.compatibility_mode, (False,)),
        ("normalization_type", cfg.normalization_type, ("LN",)),
        ("final_rms", cfg.final_rms, (False,)),
        ("eps", cfg.eps, (1e-5,)),
        ("act_fn", cfg.act_fn, ("gelu_new",)),
        ("attn_only", cfg.attn_only, (False,)),
        ("gated_mlp", cfg.gated_mlp, (False,)),
        ("d_mlp % d_model", (cfg.d_mlp or 0) % cfg.d_model, (0,)),
        ("d_head", cfg.d_head, (cfg.d_model / cfg.n_heads,)),
        ("n_key_value_heads", cfg.n_key_value_heads, (None, cfg.n_heads)),
        ("attn_scale", cfg.attn_scale, (-1.0, math.sqrt(cfg.d_head))),
        ("attention_dir", cfg.attention_dir, ("causal",)),
        ("attn_scores_soft_cap", cfg.attn_scores_soft_cap, no_cap),
        ("output_logits_soft_cap", cfg.output_logits_soft_cap, no_cap),
        ("positional_embedding_type", cfg.positional_embedding_type, ("standard", "rotary")),
        ("rotary_base", cfg.rotary_base, (10_000,)),
        ("rotary_dim", cfg.rotary_dim, (None, cfg.d_head)),
        ("rope_scaling", getattr(cfg, "rope_scaling", None), (None,)),
    ):
        if got not in usable:
            wanted = " or ".join(repr(each) for each in usable)
            raise InputError(
                f"This bridge has {what} {got!r}, but a HookedTransformer has {wanted}. Give a "
                "bridge from TransformerBridge.boot_native whose config has that."
            )
