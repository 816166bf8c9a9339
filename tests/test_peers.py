"""The contestants of the benchmarks compute what they are said to compute."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from analyses.benchmarks.peers import PEERS, Size
from tests.random_models import randomise

assert_close = partial(torch.testing.assert_close, atol=1e-5, rtol=0.0)

SIZE = Size(d_model=16, tokens=8, batch=3)
INSTALLED = [name for name in PEERS if name != "transformer-lens-3"]
NANOGPT = {
    "W_pos": "wpe",
    "blocks": "h",
    "ln1": "ln_1",
    "attn.qkv": "c_attn",
    "attn.out": "c_proj",
    "ln2": "ln_2",
    "mlp.fc": "c_fc",
    "mlp.out": "c_out",
    "ln_final": "ln_f",
    "unembed": "lm_head",
}
"""The names of tvlens as the plain model has them."""


def make_inputs(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(SIZE.batch, SIZE.tokens, SIZE.d_in, generator=generator, dtype=dtype)


def in_nanogpt_names(ours: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    renamed = {}
    for name, value in ours.items():
        if name == "W_E":
            renamed["wte.weight"] = value.T
            continue
        for old, new in NANOGPT.items():
            name = name.replace(old, new)
        renamed[name] = value
    return renamed


def test_plain_and_tvlens_have_equal_outputs_and_gradients():
    ours, plain = (PEERS[name](SIZE) for name in ("tvlens", "plain"))
    for peer in (ours, plain):
        peer.modules.double()
    randomise(ours.modules)
    plain.modules.load_state_dict(in_nanogpt_names(ours.modules.state_dict()))
    inputs = make_inputs(torch.float64)
    assert ours.outputs(inputs).std() > 0.5
    assert_close(ours.outputs(inputs), plain.outputs(inputs), atol=1e-12)

    gradients = []
    for peer in (ours, plain):
        F.mse_loss(peer.outputs(inputs), torch.ones(SIZE.batch, 3, 1).double()).backward()
        named = peer.modules.named_parameters()
        gradients.append({name: each.grad for name, each in named if each.grad is not None})
    expected, got = in_nanogpt_names(gradients[0]), gradients[1]
    assert got.keys() == expected.keys() == dict(plain.modules.named_parameters()).keys()
    for name, gradient in expected.items():
        assert_close(got[name], gradient, atol=1e-10)


@pytest.mark.parametrize("name", INSTALLED)
def test_peers_have_the_same_size_and_answer_at_the_same_tokens(name: str):
    peer = PEERS[name](SIZE)
    outputs = peer.outputs(make_inputs())
    assert outputs.shape == (SIZE.batch, 3, 1)
    outputs.sum().backward()
    trained = sum(p.numel() for p in peer.modules.parameters() if p.grad is not None)
    plain = sum(p.numel() for p in PEERS["plain"](SIZE).modules.parameters())
    # The read-out of boot_native has no trained bias.
    assert trained == plain - (name == "boot-native")


@pytest.mark.parametrize("name", INSTALLED)
@torch.no_grad()
def test_peers_are_causal_and_know_positions(name: str):
    outputs, inputs = PEERS[name](SIZE).outputs, make_inputs()
    later = inputs.clone()
    later[:, 5:] += 1.0
    assert_close(outputs(inputs)[:, :2], outputs(later)[:, :2])
    assert (outputs(inputs)[:, 2] - outputs(later)[:, 2]).abs().min() > 1e-6
    same = inputs[:, :1].expand_as(inputs)
    assert outputs(same).std(dim=1).min() > 1e-6
