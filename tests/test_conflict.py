"""Conflicts and blends against a planted model, the definition of alpha, and cases by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor
from transformer_lens import HookedRootModule

import tvlens as tvl
from tests.planted import PlantedBlock, planted_model
from tests.readme_example import python_blocks
from tests.running import Script
from tvlens.analysis.conflict import measure_conflict
from tvlens.prompts import TOKEN_FORMATS
from tvlens.results import Conflict

TASK = tvl.LinearRegression(d=2)
LAYERS, LEARN, ANSWER, SHOTS = 4, 1, 3, 5
HOLDS = list(range(LEARN, ANSWER))


def sample(task: tvl.Task, functions: int) -> tuple[tvl.Episodes, tvl.Episodes, tvl.Episodes]:
    generator = torch.Generator().manual_seed(0)
    both = tvl.sample_contexts(task, functions, 2, SHOTS, generator=generator)
    return both[::2], both[1::2], tvl.fresh_queries(task, both[::2], generator=generator)


def set_against(
    model: HookedRootModule,
    format: tvl.TokenFormat = tvl.ZXY,
    functions: int = 40,
    task: tvl.Task = TASK,
) -> Conflict:
    generator = torch.Generator().manual_seed(1)
    data = sample(task, functions)
    return measure_conflict(model, task, format, *data, layer=1, generator=generator)


def tiny_model(format: tvl.TokenFormat, task: tvl.Task = TASK) -> tvl.HookedTransformer:
    config = tvl.TransformerConfig(n_layers=2, d_model=16, n_heads=2, init_std=0.3)
    return tvl.Experiment(task, format, config).build_model(device="cpu")


def alpha(answers: Tensor, first: Tensor, second: Tensor) -> float:
    """The definition: <y - f_A, f_B - f_A> / |f_B - f_A|^2."""
    apart = (second - first).double()
    return float(((answers - first) * apart).sum() / apart.square().sum())


@pytest.fixture(scope="module")
def planted() -> Conflict:
    return set_against(planted_model(LAYERS, LEARN, ANSWER, TASK.d))


def test_the_answer_follows_the_vector_where_it_is_planted(planted: Conflict) -> None:
    following = planted.following()
    holds = following.layer.isin(HOLDS).astype(float)
    for written in ("rival", "rival everywhere"):
        for bound in ("estimate", "low", "high"):
            here = following[bound].sel(written=written)
            np.testing.assert_allclose(here, holds, atol=1e-6, err_msg=written)
    for written in ("nothing", "own"):
        np.testing.assert_allclose(following.sel(written=written).estimate, 0, atol=1e-6)


def test_errors_say_which_task_was_answered(planted: Conflict) -> None:
    rival = planted.data.sel(written="rival", layer=HOLDS)
    assert float(rival.to_vector.max()) < 1e-9
    apart = planted.data.apart.broadcast_like(rival.to_context)
    np.testing.assert_allclose(rival.to_context, apart, rtol=1e-4, atol=1e-8)


def test_a_random_vector_of_the_same_norm_is_followed_by_neither(
    planted: Conflict,
) -> None:
    errors = planted.data.sel(written="random", layer=LEARN).mean("pair")
    assert float(errors.to_context) > 0.2 and float(errors.to_vector) > 0.2


def test_a_blend_of_vectors_acts_as_it_is_mixed(planted: Conflict) -> None:
    blending = planted.blending()
    for bound in ("estimate", "low", "high"):
        here = blending[bound].sel(layer=HOLDS)
        shares = here.share.astype(float).broadcast_like(here)
        np.testing.assert_allclose(here, shares.transpose(*here.dims), atol=1e-6)
        elsewhere = blending[bound].drop_sel(layer=HOLDS)
        np.testing.assert_array_equal(*xr.broadcast(elsewhere, elsewhere[0, 0]))
    assert float(planted.data.to_blend.sel(layer=HOLDS).max()) < 1e-9


def test_a_sum_of_vectors_is_the_sum_of_functions(planted: Conflict) -> None:
    sums = planted.sums()
    np.testing.assert_allclose(sums.estimate.sel(layer=HOLDS, sum="plain"), 1, atol=1e-6)
    np.testing.assert_allclose(sums.estimate.drop_sel(layer=HOLDS).sel(sum="plain"), 0, atol=1e-9)
    # The centred sum lacks the mean of the weights that were drawn, which is 0 up to chance.
    episodes, _, queries = sample(TASK, 40)
    missing = (queries.x[:, -1] @ episodes.params.mean(0)).square() / TASK.d
    measured = planted.data.to_sum.sel(layer=LEARN, sum="centred")
    np.testing.assert_allclose(measured, missing, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("format", TOKEN_FORMATS, ids=lambda each: each.name)
def test_alpha_is_that_of_answers_computed_by_hand(format: tvl.TokenFormat) -> None:
    model, (episodes, again, queries) = tiny_model(format), sample(TASK, 8)
    result = set_against(model, format, functions=8)
    every, last = tvl.Site(1, format.carrier), tvl.Site(1, format.carrier, -1)
    theirs = tvl.read(model, format.context(again), every).roll(1, 0).detach()
    own = tvl.read(model, format.context(episodes), every)[:, -1:].detach()
    context, rivals = format.context(episodes), again.params.roll(1, 0)
    first, second = episodes.target[:, -1], TASK.apply(rivals, episodes.x)[:, -1]
    following = result.following().estimate.sel(layer=1)
    for written, site, value in (
        ("rival", last, theirs[:, -1:]),
        ("rival everywhere", every, theirs),
        ("own", last, tvl.read(model, format.context(again), last).detach()),
    ):
        answers = tvl.write(model, context, site, value)[:, -1].detach()
        expected = alpha(answers, first, second)
        assert float(following.sel(written=written)) == pytest.approx(expected, rel=1e-4), written
    prompt = format.zero_shot(queries, torch.tensor([[SHOTS - 1]]))
    first, second = queries.target[:, -1], TASK.apply(rivals, queries.x)[:, -1]
    for share in (0.25, 1.0):
        blend = (1 - share) * own + share * theirs[:, -1:]
        answers = tvl.write(model, prompt, every, blend)[:, -1].detach()
        expected = alpha(answers, first, second)
        measured = result.blending().estimate.sel(layer=1, share=share)
        assert float(measured) == pytest.approx(expected, rel=1e-4)
        errors = TASK.error(answers, (1 - share) * first + share * second)
        measured = result.data.to_blend.sel(layer=1, share=share)
        np.testing.assert_allclose(measured, errors, rtol=1e-4, atol=1e-6)


def test_random_vectors_have_the_norm_of_the_rivals() -> None:
    # With a read-out of the norm of z: whoever is written, it is the rival's norm.
    result = set_against(NormModel(), functions=6)
    errors = result.data.to_vector.sel(layer=0)
    np.testing.assert_allclose(errors.sel(written="random"), errors.sel(written="rival"), rtol=1e-5)
    assert float(np.abs(errors.sel(written="own") - errors.sel(written="rival")).max()) > 1e-3


class NormModel(HookedRootModule):
    """Answers with the norm of what is at the last z, which is the number of tokens before it
    plus a little of what they hold.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList([PlantedBlock(TASK.d, False, False)])
        self.setup()

    def forward(self, inputs: Tensor, position_ids: Tensor) -> Tensor:
        """At every token the norm of the token before it."""
        tokens = [tvl.ZXY.roles[index] for index in inputs[0, :, -3:].argmax(-1).tolist()]
        residual = self.blocks[0](inputs.cumsum(1), tokens)
        return residual.norm(dim=-1, keepdim=True).roll(1, dims=1)


def test_symbols_follow_by_how_often_each_answer_is_given() -> None:
    # Of four answers one is the context's, two are the vector's and one is neither.
    to_context = np.array([0.0, 1, 1, 1]).reshape(4, 1, 1)
    to_vector = np.array([1.0, 0, 0, 1]).reshape(4, 1, 1)
    dims = ("pair", "layer", "written")
    data = xr.Dataset(
        {
            "to_context": (dims, to_context),
            "to_vector": (dims, to_vector),
            "apart": (("pair",), np.ones(4)),
        }
    )
    assert Conflict(data).following().estimate.item() == 0.5 + (2 - 1) / 4 / 2


def test_pairs_of_one_function_are_left_out_and_symbols_are_not_added() -> None:
    task = tvl.TokenOffset(vocabulary=5, held_out_share=0.0)
    result = set_against(tiny_model(tvl.ZXY, task), functions=24, task=task)
    offsets = sample(task, 24)[0].params.flatten()
    different = int((offsets != offsets.roll(1)).sum())
    assert 2 <= different < 24
    assert result.data.sizes["pair"] == different
    np.testing.assert_array_equal(result.data.apart, 1)
    for name in ("to_blend", "to_sum", "to_sum_zero_shot"):
        assert bool(result.data[name].isnull().all())
    given = 1 - result.data[["to_context", "to_vector"]].sel(layer=1, written="rival").mean("pair")
    expected = 0.5 + (given.to_vector - given.to_context) / 2
    assert float(result.scores().loc["alpha_rival", "estimate"]) == pytest.approx(float(expected))


def test_bad_input_is_explained() -> None:
    model, (episodes, again, queries) = planted_model(2, 1, 2, TASK.d), sample(TASK, 4)
    generator = torch.Generator().manual_seed(7)

    def call(*data: tvl.Episodes, layer: int = 1) -> None:
        measure_conflict(model, TASK, tvl.ZXY, *data, layer=layer, generator=generator)

    with pytest.raises(tvl.InputError, match="Layer 3 is out of range"):
        call(episodes, again, queries, layer=3)
    with pytest.raises(tvl.InputError, match="other contexts are of other functions"):
        call(episodes, sample(TASK, 5)[0], queries)
    with pytest.raises(tvl.InputError, match="queries are of other functions"):
        call(episodes, again, tvl.sample_episodes(TASK, 4, SHOTS, generator=generator))
    with pytest.raises(tvl.InputError, match="at least 2 pairs of different functions"):
        call(episodes[:1], again[:1], queries[:1])


def test_saved_and_loaded_it_is_the_same(planted: Conflict, tmp_path: Path) -> None:
    planted.save(tmp_path / "result.nc")
    xr.testing.assert_identical(Conflict.load(tmp_path / "result.nc").data, planted.data)


def test_the_figure_shows_the_numbers(planted: Conflict) -> None:
    drawn: Any = tvl.plots.plot_conflict({"a": planted, "b": planted})
    lines = {(each.name, each.xaxis): each for each in drawn.data if each.name}
    following = planted.following().sel(written="rival")
    line = lines["rival's vector, last carrier", "x"]
    np.testing.assert_array_equal(line.y, following.estimate)
    np.testing.assert_array_equal(line.customdata, np.stack([following.low, following.high], 1))
    errors = planted.data.to_context.sel(written="rival").mean("pair")
    np.testing.assert_allclose(lines["against the context's task", "x3"].y, errors, rtol=1e-6)
    blends = planted.blending().estimate.sel(layer=2)
    np.testing.assert_array_equal(lines["layer 2", "x6"].y, blends)


def test_the_script_runs_on_a_shipped_model(script: Script, tmp_path: Path) -> None:
    options = ("--episodes", "16", "--examples", "3", "--device", "cpu", "--out", tmp_path)
    ended = script("conflict.py", "offset-tvp", *options)
    assert ended.code == 0 and "alpha_rival_everywhere" in ended.out
    assert {each.suffix for each in tmp_path.iterdir() if each.is_file()} == {
        ".html",
        ".csv",
        ".nc",
    }


def test_the_code_of_the_page_runs() -> None:
    (block,) = python_blocks("docs/analyses/conflict.md")
    exec(compile(block, "conflict.md", "exec"), {"__name__": "documentation"})
