"""The model against other implementations of the same weights, and against its own other paths."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.utilities.components_utils import get_act_name
from transformers import GPT2Config, GPT2LMHeadModel

from tests.random_models import randomise
from tvlens.base.errors import InputError
from tvlens.models import HookedTransformer, Positions, TransformerConfig
from tvlens.models.bridge import from_bridge, to_bridge

N_LAYERS, D_MODEL, N_HEADS, N_CTX, VOCABULARY, D_OUT = 3, 16, 2, 16, 11, 7
BATCH, LENGTH = 4, 12
ATOL = 1e-5
MEANT_TO_DIFFER = 1e-2

Hooks = list[tuple[str | Callable[..., Any], Callable[..., Any]]]


def make_model(
    positions: Positions = Positions.LEARNED,
    d_out: int = D_OUT,
    dtype: torch.dtype = torch.float32,
) -> HookedTransformer:
    """A model whose weights, biases and norms are all far from trivial, unlike a fresh one."""
    config = TransformerConfig(
        n_layers=N_LAYERS, d_model=D_MODEL, n_heads=N_HEADS, n_ctx=N_CTX, positions=positions
    )
    model = HookedTransformer(config, VOCABULARY, d_out, dtype=dtype)
    randomise(model)
    return model


def make_ids(seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(VOCABULARY, (BATCH, LENGTH), generator=generator)


def make_vectors(dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(BATCH, LENGTH, VOCABULARY, generator=generator).to(dtype)


def assert_close(a: Tensor, b: Tensor, atol: float = ATOL) -> None:
    torch.testing.assert_close(a, b, atol=atol, rtol=0.0)


def distance(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().max().item()


def copy_gpt2(gpt2: GPT2LMHeadModel) -> HookedTransformer:
    """Our model with GPT-2's weights, whose linear maps are stored the other way round."""
    theirs = gpt2.state_dict()
    ours = {
        "W_E": theirs["transformer.wte.weight"],
        "W_pos": theirs["transformer.wpe.weight"],
        "ln_final.weight": theirs["transformer.ln_f.weight"],
        "ln_final.bias": theirs["transformer.ln_f.bias"],
        "unembed.weight": theirs["lm_head.weight"],
        "unembed.bias": torch.zeros(VOCABULARY),
    }
    for layer in range(N_LAYERS):
        for our_module, their_module, transposed in (
            ("ln1", "ln_1", False),
            ("attn.qkv", "attn.c_attn", True),
            ("attn.out", "attn.c_proj", True),
            ("ln2", "ln_2", False),
            ("mlp.fc", "mlp.c_fc", True),
            ("mlp.out", "mlp.c_proj", True),
        ):
            weight = theirs[f"transformer.h.{layer}.{their_module}.weight"]
            ours[f"blocks.{layer}.{our_module}.weight"] = weight.T if transposed else weight
            bias = theirs[f"transformer.h.{layer}.{their_module}.bias"]
            ours[f"blocks.{layer}.{our_module}.bias"] = bias
    model = make_model(d_out=VOCABULARY, dtype=gpt2.dtype)
    model.load_state_dict(ours)
    return model


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, ATOL), (torch.float64, 1e-12)])
def test_gpt2_has_the_same_logits_and_residual_stream(dtype: torch.dtype, atol: float) -> None:
    gpt2 = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=N_CTX,
            n_embd=D_MODEL,
            n_layer=N_LAYERS,
            n_head=N_HEADS,
            activation_function="gelu_new",
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    randomise(gpt2)
    torch.nn.Module.to(gpt2, dtype).eval()
    model, ids = copy_gpt2(gpt2), make_ids()
    with torch.no_grad():
        theirs = gpt2(ids, output_hidden_states=True)
        assert theirs.logits.std() > 0.5
        assert_close(model(ids), theirs.logits, atol)
        for layer in range(N_LAYERS):
            residual = model(ids, stop_at_layer=layer)
            assert_close(residual, theirs.hidden_states[layer], atol)
        # The last of GPT-2's hidden states is already normalised.
        last = model.ln_final(model(ids, stop_at_layer=N_LAYERS))
        assert_close(last, theirs.hidden_states[N_LAYERS], atol)


@pytest.mark.parametrize("positions", Positions)
@torch.no_grad()
def test_bridge_has_the_same_logits(positions: Positions) -> None:
    model, ids, x = make_model(positions), make_ids(), make_vectors()
    bridge = to_bridge(model)
    assert_close(bridge(ids), model(ids))
    assert_close(bridge(x @ model.W_E), model(x))
    apart = torch.arange(LENGTH)[None] + torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 4])
    assert_close(bridge(ids, position_ids=apart), model(ids, apart))
    assert (distance(model(ids, apart), model(ids)) > MEANT_TO_DIFFER) == (
        positions is not Positions.NONE
    )
    boundaries = bridge.run_with_cache(ids)[1]
    for layer in range(N_LAYERS):
        assert_close(boundaries["resid_pre", layer], model(ids, stop_at_layer=layer))


@pytest.mark.parametrize("positions", [Positions.LEARNED, Positions.NONE])
@torch.no_grad()
def test_bridge_agrees_to_float64_rounding(positions: Positions) -> None:
    model, ids = make_model(positions, dtype=torch.float64), make_ids()
    assert_close(to_bridge(model)(ids), model(ids), atol=1e-12)


@pytest.mark.parametrize("positions", Positions)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_round_trip_through_a_bridge_changes_nothing(
    positions: Positions, dtype: torch.dtype
) -> None:
    model = make_model(positions, dtype=dtype)
    returned = from_bridge(to_bridge(model))
    assert returned.config == model.config
    assert (returned.d_in, returned.d_out) == (model.d_in, model.d_out)
    expected, got = model.state_dict(), returned.state_dict()
    assert got.keys() == expected.keys()
    for name, weight in expected.items():
        assert torch.equal(got[name], weight), name


def test_conversion_leaves_no_shared_memory_and_the_global_generator_alone() -> None:
    model, ids = make_model(), make_ids()
    state = torch.get_rng_state()
    bridge = to_bridge(model)
    assert torch.equal(torch.get_rng_state(), state)
    returned = from_bridge(bridge)
    with torch.no_grad():
        before = model(ids)
        bridge_before = bridge(ids)
        for parameter in returned.parameters():
            parameter.zero_()
        assert torch.equal(bridge(ids), bridge_before)
        for parameter in bridge.parameters():
            parameter.zero_()
        assert torch.equal(model(ids), before)


def test_a_bridge_without_positions_trains_without_positions() -> None:
    bridge = to_bridge(make_model(Positions.NONE))
    optimizer = torch.optim.SGD(bridge.parameters(), lr=0.1)
    bridge(make_ids()).square().mean().backward()
    optimizer.step()
    assert from_bridge(bridge).config.positions is Positions.NONE


def native_bridge(**changes: Any) -> TransformerBridge:
    fields: dict[str, Any] = {
        "d_model": D_MODEL,
        "d_head": D_MODEL // N_HEADS,
        "n_layers": N_LAYERS,
        "n_heads": N_HEADS,
        "n_ctx": N_CTX,
        "d_vocab": VOCABULARY,
        "act_fn": "gelu_new",
        "seed": 0,
    }
    config = TransformerBridgeConfig(**(fields | changes))
    return TransformerBridge.boot_native(config)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("kind", ["standard", "rotary"])
@torch.no_grad()
def test_a_model_from_a_native_bridge_has_the_same_logits(kind: str) -> None:
    bridge, ids = native_bridge(positional_embedding_type=kind, d_mlp=3 * D_MODEL), make_ids()
    randomise(bridge)
    model = from_bridge(bridge)
    assert model.config.mlp_ratio == 3
    assert bridge(ids).std() > 0.5
    assert_close(model(ids), bridge(ids))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"act_fn": "relu"}, "act_fn"),
        ({"normalization_type": "RMS"}, "normalization_type"),
        ({"normalization_type": None}, "normalization_type"),
        ({"final_rms": True}, "final_rms"),
        ({"eps": 1e-6}, "eps"),
        ({"attn_only": True}, "attn_only"),
        ({"gated_mlp": True}, "gated_mlp"),
        ({"d_mlp": D_MODEL + 1}, "d_mlp"),
        ({"d_head": D_MODEL}, "d_head"),
        ({"n_key_value_heads": 1}, "n_key_value_heads"),
        ({"attn_scale": 2.0}, "attn_scale"),
        ({"attention_dir": "bidirectional"}, "attention_dir"),
        ({"attn_scores_soft_cap": 5.0}, "attn_scores_soft_cap"),
        ({"output_logits_soft_cap": 5.0}, "output_logits_soft_cap"),
        ({"positional_embedding_type": "rotary", "rotary_base": 500}, "rotary_base"),
        ({"positional_embedding_type": "rotary", "rotary_dim": 4}, "rotary_dim"),
    ],
)
def test_a_bridge_that_computes_something_else_is_refused(
    changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=f"This bridge has {named} "):
        from_bridge(native_bridge(**changes))


@pytest.mark.parametrize("positions", Positions)
@pytest.mark.parametrize("hooked", ["attn.hook_pattern", "attn.hook_attn_scores"])
@torch.no_grad()
def test_explicit_attention_equals_the_fused_kernel(positions: Positions, hooked: str) -> None:
    model, ids = make_model(positions), make_ids()
    fused = model(ids)
    seen: list[Tensor] = []
    hooks: Hooks = [
        (f"blocks.{layer}.{hooked}", lambda tensor, hook: seen.append(tensor))
        for layer in range(N_LAYERS)
    ]
    assert_close(model.run_with_hooks(ids, fwd_hooks=hooks), fused)
    assert len(seen) == N_LAYERS
    if hooked == "attn.hook_pattern":
        for pattern in seen:
            assert torch.equal(pattern, pattern.tril())
            assert_close(pattern.sum(-1), torch.ones(BATCH, N_HEADS, LENGTH))
            # Parity says little where attention is uniform.
            assert pattern[:, :, -1].max() > 2 / LENGTH


def test_explicit_attention_has_the_gradients_of_the_fused_kernel() -> None:
    ids = make_ids()
    gradients = []
    for names in ([], [f"blocks.{layer}.attn.hook_pattern" for layer in range(N_LAYERS)]):
        model = make_model(dtype=torch.float64)
        hooks: Hooks = [(name, lambda tensor, hook: None) for name in names]
        model.run_with_hooks(ids, fwd_hooks=hooks).square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for fused, explicit in zip(*gradients, strict=True):
        assert_close(fused, explicit, atol=1e-10)


@pytest.mark.parametrize("layer", range(N_LAYERS + 1))
@pytest.mark.parametrize("positions", Positions)
@torch.no_grad()
def test_stopping_and_starting_again_is_the_full_pass(positions: Positions, layer: int) -> None:
    model, x = make_model(positions), make_vectors()
    position_ids = torch.arange(LENGTH)[None] + 3
    residual = model(x, position_ids, stop_at_layer=layer)
    assert torch.equal(model(residual, position_ids, start_at_layer=layer), model(x, position_ids))
    middle = model(x, position_ids, start_at_layer=None, stop_at_layer=0)
    assert torch.equal(model(middle, position_ids, start_at_layer=0, stop_at_layer=layer), residual)


@pytest.mark.parametrize("start", [None, *range(N_LAYERS + 1)])
@pytest.mark.parametrize("stop", [None, *range(N_LAYERS + 1)])
@torch.no_grad()
def test_only_the_blocks_asked_for_run(start: int | None, stop: int | None) -> None:
    model = make_model()
    ran: list[int] = []
    for layer, block in enumerate(model.blocks):
        block.register_forward_hook(lambda *_, layer=layer: ran.append(layer))
    x = make_vectors() if start is None else torch.randn(BATCH, LENGTH, D_MODEL)
    first, last = start or 0, N_LAYERS if stop is None else stop
    if first > last:
        with pytest.raises(InputError, match="Cannot run from layer"):
            model(x, start_at_layer=start, stop_at_layer=stop)
    else:
        model(x, start_at_layer=start, stop_at_layer=stop)
    assert ran == list(range(first, last))


@torch.no_grad()
def test_hook_names_are_those_of_transformer_lens() -> None:
    model, ids = make_model(), make_ids()
    _, cache = model.run_with_cache(ids)
    per_block = [
        *("resid_pre", "q", "k", "v", "attn_scores", "pattern", "z", "attn_out"),
        *("resid_mid", "pre", "post", "mlp_out", "resid_post"),
    ]
    names = {get_act_name(name, layer) for name in per_block for layer in range(N_LAYERS)}
    names |= {
        get_act_name("normalized", layer, norm) for norm in ("ln1", "ln2") for layer in range(3)
    }
    names |= {"hook_embed", "hook_pos_embed", get_act_name("normalized")}
    assert set(cache) == names == set(model.hook_dict)
    for layer in range(N_LAYERS):
        assert_close(cache[get_act_name("resid_pre", layer)], model(ids, stop_at_layer=layer))
        after = model(ids, stop_at_layer=layer + 1)
        assert_close(cache[get_act_name("resid_post", layer)], after)
        assert_close(
            cache[get_act_name("resid_pre", layer)]
            + cache[get_act_name("attn_out", layer)]
            + cache[get_act_name("mlp_out", layer)],
            after,
        )
        pattern, v = cache[get_act_name("pattern", layer)], cache[get_act_name("v", layer)]
        mixed = torch.einsum("bhqk,bkhd->bqhd", pattern, v)
        assert_close(cache[get_act_name("z", layer)], mixed)


@torch.no_grad()
def test_cache_equals_that_of_a_bridge() -> None:
    model, ids = make_model(), make_ids()
    _, ours = model.run_with_cache(ids)
    _, theirs = to_bridge(model).run_with_cache(ids)
    for name in ("resid_pre", "q", "k", "v", "pattern", "z", "attn_out", "mlp_out", "resid_post"):
        for layer in range(N_LAYERS):
            assert_close(ours[get_act_name(name, layer)], theirs[name, layer])


@torch.no_grad()
def test_shifted_position_ids_change_nothing_but_a_learned_table() -> None:
    ids, positions = make_ids(), torch.arange(LENGTH)[None]
    for kind in Positions:
        model = make_model(kind, dtype=torch.float64)
        changed = distance(model(ids, positions + 4), model(ids, positions))
        assert changed > MEANT_TO_DIFFER if kind is Positions.LEARNED else changed < 1e-12
        assert torch.equal(model(ids), model(ids, positions))


@torch.no_grad()
def test_rotary_and_learned_positions_tell_order_apart() -> None:
    """The last output sees the earlier tokens as a set only if nothing tells their order."""
    ids = make_ids()
    swapped = ids[:, [1, 0, *range(2, LENGTH)]]
    one_layer = {kind: make_model(kind, dtype=torch.float64) for kind in Positions}
    for kind, model in one_layer.items():
        last = [
            model.unembed(model.ln_final(model(each, stop_at_layer=1)))[:, -1]
            for each in (ids, swapped)
        ]
        changed = distance(*last)
        assert changed < 1e-12 if kind is Positions.NONE else changed > MEANT_TO_DIFFER


@torch.no_grad()
def test_rotary_positions_are_those_of_a_longer_prompt_too() -> None:
    """A prompt longer than n_ctx runs, and what it adds comes after: the model is causal."""
    model = make_model(Positions.ROTARY)
    ids = torch.cat([make_ids(), make_ids(seed=5)], dim=1)
    assert ids.shape[1] > N_CTX
    assert_close(model(ids)[:, :LENGTH], model(ids[:, :LENGTH]))
    with pytest.raises(InputError, match="position table"):
        make_model(Positions.LEARNED)(ids)


@torch.no_grad()
def test_token_ids_are_one_hot_vectors() -> None:
    model, ids = make_model(), make_ids()
    assert_close(model(ids), model(torch.nn.functional.one_hot(ids, VOCABULARY).float()))
