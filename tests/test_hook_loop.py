"""The locality map equals a plain loop over its cells, written with TransformerLens's hooks."""

import numpy as np
import pytest
import torch
from hook_loop import hook_loop

import tvlens as tvl
from tvlens.analysis.shared.locality import measure_locality_map
from tvlens.models import Positions
from tvlens.prompts import XY, XYZ
from tvlens.prompts.chunks import TOKENS_AT_ONCE

TASK = tvl.LinearRegression(d=2)
SHOTS = 4
ARRAYS = (
    *("tvp", "icl", "zero_shot", "shuffled", "random", "untrained"),
    *("window", "ablated", "ignorant"),
)

LEARNED, ROTARY, NONE = Positions
RESET, KEEP = tvl.PositionIds


@pytest.mark.parametrize("cached", [True, False], ids=["cached", "cut contexts"])
@pytest.mark.parametrize(
    ("format", "positions", "position_ids"),
    [
        (tvl.ZXY, ROTARY, RESET),
        (tvl.ZXY, LEARNED, KEEP),
        (tvl.ARROW, LEARNED, RESET),
        (tvl.ARROW, ROTARY, KEEP),
        (XY, NONE, RESET),
        (XYZ, LEARNED, KEEP),
    ],
    ids=lambda each: each.name if isinstance(each, tvl.TokenFormat) else each.value,
)
def test_the_map_is_what_a_loop_of_hooked_forwards_gives(
    format: tvl.TokenFormat,
    positions: Positions,
    position_ids: tvl.PositionIds,
    cached: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tvl.TransformerConfig(
        n_layers=2, d_model=16, n_heads=2, n_ctx=16, positions=positions, init_std=0.3
    )
    model, untrained = (
        tvl.Experiment(TASK, format, config, seed=seed).build_model(device="cpu") for seed in (0, 1)
    )
    generator = torch.Generator().manual_seed(1)
    episodes = tvl.sample_episodes(TASK, 16, SHOTS, generator=generator)
    queries = tvl.fresh_queries(TASK, episodes, generator=generator)
    arguments = (model, TASK, format, episodes, queries)
    options = {"untrained": untrained, "position_ids": position_ids}
    first, second = (torch.Generator().manual_seed(2) for _ in range(2))
    expected = hook_loop(*arguments, **options, generator=first, cached=cached)
    # Chunks of three episodes, the last of one: what is mapped together must not matter.
    tokens = format.n_tokens(SHOTS) + SHOTS * len(format.query)
    monkeypatch.setitem(TOKENS_AT_ONCE, "cpu", 3 * tokens)
    mapped = measure_locality_map(*arguments, **options, generator=second).data
    for name in ARRAYS:
        assert mapped[name].dims == expected[name].dims
        for dim in set(expected[name].dims) - {"episode"}:
            assert list(mapped[dim].values) == list(expected[dim].values)
        np.testing.assert_allclose(mapped[name], expected[name], 1e-5, 1e-5, err_msg=name)
        assert float(expected[name].std()) > 1e-2
