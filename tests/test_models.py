"""Every kind of model does what all models do."""

import pytest
import torch
from torch import Generator
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

import tvlens as tvl
from tests.model_conformance import check_model
from tests.tiny_llama import WORDS, text_format, tiny_llama
from tests.wrapped import Bridged
from tvlens.models import HookedTransformer, LinearTransformer, Positions
from tvlens.models.protocol import check_causal
from tvlens.prompts import ARROW, COLUMN_FORMATS, ZXY, ColumnFormat, Episodes
from tvlens.tasks import Direction, MapKind

SHOTS = 4
REGRESSION = tvl.LinearRegression(d=3)


def doubled(task: tvl.Task) -> Episodes:
    drawn = tvl.sample_episodes(task, 3, SHOTS, generator=Generator().manual_seed(0))
    return Episodes(*(each.double() for each in (drawn.x, drawn.y, drawn.target, drawn.params)))


def softmax(format: tvl.TokenFormat, positions: Positions) -> HookedTransformer:
    config = tvl.TransformerConfig(3, 16, 2, n_ctx=20, positions=positions, init_std=0.3)
    generator = Generator().manual_seed(0)
    return HookedTransformer(
        config, format.d_in(3, 1), 1, generator=generator, dtype=torch.float64
    ).eval()


@pytest.mark.parametrize("positions", Positions)
@pytest.mark.parametrize("format", [ZXY, ARROW], ids=lambda format: format.name)
def test_softmax_transformers(format: tvl.TokenFormat, positions: Positions) -> None:
    check_model(softmax(format, positions), format, doubled(REGRESSION))


def test_a_bridge_of_transformer_lens() -> None:
    bridged = Bridged(softmax(ZXY, Positions.LEARNED))
    check_model(bridged, ZXY, doubled(REGRESSION), tolerance=1e-6)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("format", COLUMN_FORMATS, ids=lambda format: format.name)
def test_linear_transformers(format: ColumnFormat, causal: bool) -> None:
    config = tvl.LinearConfig(n_layers=3, causal=causal, init_std=0.4)
    model = LinearTransformer(
        config, 2, format, SHOTS - 1, generator=Generator().manual_seed(0), dtype=torch.float64
    )
    check_model(model.eval(), format, doubled(tvl.MatrixRegression(2)))


def test_language_models() -> None:
    kinds = (MapKind(Direction.FORWARD, 5),)
    task = tvl.Bijections(len(WORDS), kinds)
    # Hugging Face keeps rotary angles in float32.
    check_model(tiny_llama().model, text_format(), doubled(task), tolerance=1e-4)


class Unsaid(HookedRootModule):
    """A model that does not say whether it is causal."""

    def __init__(self) -> None:
        super().__init__()
        self.hook = HookPoint()
        self.setup()


def test_a_model_that_does_not_say_that_it_is_causal_is_refused_where_it_matters() -> None:
    with pytest.raises(tvl.InputError, match=r"Pruning needs a causal model.*`causal = True`"):
        check_causal(Unsaid(), "Pruning")
    check_causal(softmax(ZXY, Positions.NONE), "Pruning")
