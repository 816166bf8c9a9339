"""Every format that comes with tvlens, and one of one's own, does what all formats do."""

import pytest
import torch
from torch import Generator

import tvlens as tvl
from tests.format_conformance import check_format
from tests.tiny_llama import WORDS, text_format
from tvlens.interventions import task_vector_predictions
from tvlens.interventions.injections import Injection, injected_answers, read_vectors
from tvlens.prompts import (
    COLUMN_FORMATS,
    TOKEN_FORMATS,
    TRIPLET,
    ColumnFormat,
    Episodes,
    Format,
    Role,
    TokenFormat,
)
from tvlens.tasks import Direction, MapKind

OWN = TokenFormat(
    "own", (Role.Z, Role.X, Role.ARROW, Role.Y), (Role.Z, Role.X, Role.ARROW), Role.Z, Role.ARROW
)


@pytest.mark.parametrize("format", [*TOKEN_FORMATS, OWN], ids=lambda format: format.name)
def test_token_formats(format: TokenFormat) -> None:
    check_format(format, tvl.LinearRegression(d=3))


@pytest.mark.parametrize("format", COLUMN_FORMATS, ids=lambda format: format.name)
def test_column_formats(format: ColumnFormat) -> None:
    check_format(format, tvl.MatrixRegression(2))


def test_text_formats() -> None:
    kinds = (MapKind(Direction.FORWARD, 5),)
    check_format(text_format(), tvl.Bijections(len(WORDS), kinds))


@pytest.mark.parametrize(
    ("roles", "carrier", "problem"),
    [
        ((), None, "x first"),
        ((Role.Y, Role.X), None, "x first"),
        ((Role.X, Role.X, Role.Y), None, "no role twice"),
        ((Role.X, Role.Y), Role.Y, "carrier between x and y"),
        ((Role.X, Role.Y), Role.ARROW, "carrier between x and y"),
    ],
)
def test_columns_that_make_no_sense_are_refused(
    roles: tuple[Role, ...], carrier: Role | None, problem: str
) -> None:
    with pytest.raises(tvl.InputError, match=problem):
        ColumnFormat("mine", roles, carrier)


def test_columns_keep_the_positions_of_the_end() -> None:
    x = torch.zeros(2, 3, 2)
    with pytest.raises(tvl.InputError, match="position_ids=keep"):
        TRIPLET.zero_shot(Episodes(x, x, x, x[:, 0]), torch.tensor([[0]]), tvl.PositionIds.RESET)


@pytest.mark.parametrize("layer", [1])
def test_prompting_triplets_is_the_corrected_injection(layer: int) -> None:
    """The same vectors, and the same answers, as by the road of linear transformers alone."""
    run = tvl.load_pretrained("triplet-2x5-keep80")
    generator = Generator().manual_seed(0)
    episodes = tvl.sample_episodes(run.experiment.task, 64, 6, generator=generator)
    queries = tvl.fresh_queries(run.experiment.task, episodes, generator=generator)
    vectors = read_vectors(run.model, episodes, Injection.CORRECTED, layer)[:, -1:]
    expected = injected_answers(run.model, queries.x[:, -1], vectors, Injection.CORRECTED, layer)
    site = tvl.Site(layer, Role.ARROW)
    format: Format = run.experiment.format
    found = task_vector_predictions(run.model, format, episodes, queries, site)[:, -1]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
