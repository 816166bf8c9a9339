"""Small models of random weights, and episodes for them."""

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import tvlens as tvl
from tvlens.interventions.hooks import hooked_pass
from tvlens.models import HookedTransformer, Positions, TransformerConfig
from tvlens.prompts import TOKEN_FORMATS, ZXY, Episodes, TokenFormat
from tvlens.tasks import relabelled

TASK = tvl.LinearRegression(d=3)
N_LAYERS = 3
SHOTS = 4


each_format = pytest.mark.parametrize("format", TOKEN_FORMATS, ids=lambda format: format.name)


def random_model(
    format: TokenFormat,
    positions: Positions = Positions.ROTARY,
    dtype: torch.dtype = torch.float32,
    kind: type[HookedTransformer] = HookedTransformer,
) -> HookedTransformer:
    config = TransformerConfig(
        n_layers=N_LAYERS, d_model=16, n_heads=2, n_ctx=20, positions=positions, init_std=0.3
    )
    generator = Generator().manual_seed(0)
    return kind(config, format.d_in(TASK.d_x, 1), 1, generator=generator, dtype=dtype)


class SkipsBlock(HookedTransformer):
    """Its hook points do not fire, like those of a compiled model."""

    def forward(self, inputs: Tensor, position_ids: Tensor | None = None, **_: object) -> Tensor:
        residual = super().forward(inputs, position_ids, stop_at_layer=1)
        return super().forward(residual, position_ids, start_at_layer=2)


def double_model(format: TokenFormat = ZXY, positions: Positions = Positions.ROTARY):
    return random_model(format, positions, torch.float64)


def data(task: Any = TASK, batch: int = 6) -> tuple[Episodes, Episodes, Episodes]:
    """Episodes, fresh queries, and the same inputs under other functions; float64."""
    generator = Generator().manual_seed(1)
    episodes = tvl.sample_episodes(task, batch, SHOTS, generator=generator)
    queries = tvl.fresh_queries(task, episodes, generator=generator)
    others = relabelled(task, episodes, generator=generator)
    doubled = [
        Episodes(*(each.double() for each in (e.x, e.y, e.target, e.params)))
        for e in (episodes, queries, others)
    ]
    return doubled[0], doubled[1], doubled[2]


def losses_of(
    model: Any, episodes: Episodes, name: str, moves: Tensor, format: TokenFormat = ZXY
) -> Tensor:
    """Losses (edge, episode) of the last answers when each edge of a pattern in turn is moved."""
    many = format.context(episodes).repeated(len(moves))

    def edit(pattern: Tensor) -> Tensor:
        moved = moves.unflatten(1, pattern.shape[1:])
        return pattern + moved.repeat_interleave(episodes.batch, dim=0)

    with torch.no_grad():
        outputs = hooked_pass(model, many, edits={name: edit}).outputs[:, -1]
    target = episodes.target[:, -1].repeat(len(moves), 1)
    return TASK.loss(outputs, target).unflatten(0, (-1, episodes.batch))


def randomise(model: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_scale = parameter.dim() == 1 and name.endswith("weight")
            noise = 0.3 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + noise if is_scale else noise)
