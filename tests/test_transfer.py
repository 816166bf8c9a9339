"""Transfer against a planted model, the locality map, and vectors written by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import tvlens as tvl
from tests.planted import planted_model
from tests.readme_example import python_blocks
from tests.running import Script
from tvlens.analysis.shared.locality import measure_locality_map
from tvlens.analysis.transfer import measure_transfer
from tvlens.interventions import read_all
from tvlens.models import Positions
from tvlens.prompts import TOKEN_FORMATS
from tvlens.results import Transfer

TASK = tvl.LinearRegression(d=2)
LAYERS, LEARN, ANSWER, SHOTS = 4, 2, 3, 5


def sample(batch: int) -> tuple[tvl.Episodes, tvl.Episodes]:
    generator = torch.Generator().manual_seed(0)
    episodes = tvl.sample_episodes(TASK, batch, SHOTS, generator=generator)
    return episodes, tvl.fresh_queries(TASK, episodes, generator=generator)


def tiny_model(
    format: tvl.TokenFormat, positions: Positions = Positions.LEARNED
) -> tvl.HookedTransformer:
    config = tvl.TransformerConfig(
        n_layers=2, d_model=16, n_heads=2, init_std=0.3, positions=positions
    )
    return tvl.Experiment(TASK, format, config).build_model(device="cpu")


@pytest.fixture(scope="module")
def planted() -> Transfer:
    model = planted_model(LAYERS, LEARN, ANSWER, TASK.d)
    return measure_transfer(model, TASK, tvl.ZXY, *sample(256), layer=LEARN)


def test_a_vector_serves_from_where_it_is_learned_to_before_it_is_read(
    planted: Transfer,
) -> None:
    # Nothing erases the weights at z, so they can be read anywhere above, and written anywhere
    # below the block that answers: a zero-shot z learns nothing that would cover them.
    for read in range(LAYERS + 1):
        for write in range(LAYERS + 1):
            errors = planted.data.layers.sel(read=read, write=write)
            if read >= LEARN and write < ANSWER:
                assert float(errors.max()) < 1e-9
            else:
                np.testing.assert_array_equal(errors, planted.data.zero_shot)
    recovered = planted.layer_recovery()
    works = (recovered.read >= LEARN) & (recovered.write < ANSWER)
    for bound in ("estimate", "low", "high"):
        np.testing.assert_allclose(recovered[bound], works.astype(float), atol=1e-6)


def test_another_episodes_vector_gives_its_answer(planted: Transfer) -> None:
    episodes, queries = sample(256)
    other = episodes.params.roll(1, 0).double()
    expected = ((other - episodes.params) * queries.x[:, -1]).sum(-1).square() / TASK.d
    shuffled = planted.data.shuffled.sel(read=LEARN, write=LEARN)
    np.testing.assert_allclose(shuffled, expected, rtol=1e-4, atol=1e-8)


def test_without_position_embeddings_positions_make_no_difference(
    planted: Transfer,
) -> None:
    for name in ("lengths", "lengths_zero_shot"):
        first = planted.data[name].isel(position=[0])
        np.testing.assert_array_equal(*xr.broadcast(planted.data[name], first.isel(position=0)))
    recovered = planted.length_recovery().estimate
    assert bool(recovered.sel(examples=0).isnull().all()), "there is nothing to recover"
    np.testing.assert_allclose(recovered.sel(examples=[2, 3, 4]), 1, atol=1e-6)


@pytest.mark.parametrize("format", TOKEN_FORMATS, ids=lambda each: each.name)
@pytest.mark.parametrize("position_ids", list(tvl.PositionIds), ids=str)
def test_the_diagonals_are_the_locality_map(
    format: tvl.TokenFormat, position_ids: tvl.PositionIds
) -> None:
    model, data = tiny_model(format), sample(12)
    result = measure_transfer(model, TASK, format, *data, layer=1, position_ids=position_ids).data
    generator = torch.Generator().manual_seed(1)
    maps = {
        each: measure_locality_map(
            model, TASK, format, *data, untrained=model, generator=generator, position_ids=each
        ).data
        for each in tvl.PositionIds
    }
    for name in ("layers", "shuffled"):
        here = maps[position_ids]
        column = here.tvp.sel(role=format.carrier.value) if name == "layers" else here.shuffled
        for layer in (0, 1, 2):
            expected = column.sel(layer=layer).isel(examples=-1)
            measured = result[name].sel(read=layer, write=layer)
            np.testing.assert_allclose(measured, expected, rtol=1e-5, atol=1e-6)
    kept = maps[tvl.PositionIds.KEEP].sel(layer=1, role=format.carrier.value)
    for examples in result.examples.values:
        own = result.sel(examples=examples, position=examples)
        expected = kept.sel(examples=examples)
        np.testing.assert_allclose(own.lengths, expected.tvp, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(own.lengths_zero_shot, expected.zero_shot, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("format", TOKEN_FORMATS, ids=lambda each: each.name)
def test_elsewhere_errors_are_those_of_vectors_written_by_hand(format: tvl.TokenFormat) -> None:
    model, (episodes, queries) = tiny_model(format), sample(6)
    result = measure_transfer(model, TASK, format, episodes, queries, layer=1).data
    longest = torch.tensor([[SHOTS - 1]])
    low, high = (tvl.Site(layer, format.carrier) for layer in (1, 2))
    vectors = read_all(model, format.context(episodes), [low, high])
    prompt = format.zero_shot(queries, longest)
    answers = tvl.write(model, prompt, low, vectors[high][:, -1:])[:, -1].detach()
    expected = TASK.error(answers, queries.target[:, -1])
    np.testing.assert_allclose(result.layers.sel(read=2, write=1), expected, rtol=1e-5)
    # The vector after 2 examples, asked query 2, at the positions of 4 examples.
    moved = tvl.Episodes(
        x=queries.x[:, [2] * SHOTS],
        y=queries.y[:, [2] * SHOTS],
        target=queries.target[:, [2] * SHOTS],
        params=queries.params,
    )
    prompt = format.zero_shot(moved, longest, tvl.PositionIds.KEEP)
    first = format.first_length(format.carrier)
    answers = tvl.write(model, prompt, low, vectors[low][:, [2 - first]])[:, -1].detach()
    expected = TASK.error(answers, queries.target[:, 2])
    measured = result.lengths.sel(examples=2, position=4)
    np.testing.assert_allclose(measured, expected, rtol=1e-5)
    difference = float(np.abs(measured - result.lengths.sel(examples=2, position=2)).max())
    # In XY the vector replaces the only token, and with it all that its position did.
    assert difference == 0 if format is tvl.prompts.XY else difference > 1e-3


def test_rotary_positions_make_no_difference_between_two_tokens() -> None:
    model = tiny_model(tvl.ZXY, Positions.ROTARY)
    lengths = measure_transfer(model, TASK, tvl.ZXY, *sample(6), layer=1).data.lengths
    first = lengths.isel(position=0)
    np.testing.assert_allclose(*xr.broadcast(lengths, first), rtol=1e-4, atol=1e-6)


def test_scores_tell_the_cells_of_the_matrix(planted: Transfer) -> None:
    scores = planted.scores()["estimate"]
    # At layer 2, where weights are learned and from which block 3 reads them.
    names = ["same_layer", "written_below", "written_above", "read_below", "read_above"]
    np.testing.assert_allclose(scores[names], [1, 1, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(scores[["own_position", "first_position"]], 1, atol=1e-6)
    at_the_top = Transfer(planted.data.assign_attrs(layer=LAYERS)).scores()
    assert at_the_top.loc[["written_above", "read_above"]].isna().all(axis=None)


def test_bad_input_is_explained() -> None:
    model = planted_model(2, 1, 2, TASK.d)
    with pytest.raises(tvl.InputError, match=r"Layer 3 is out of range.*0\.\.2"):
        measure_transfer(model, TASK, tvl.ZXY, *sample(4), layer=3)
    single = tvl.sample_episodes(TASK, 4, 1, generator=torch.Generator().manual_seed(0))
    with pytest.raises(tvl.InputError, match="at least 2 shots"):
        measure_transfer(model, TASK, tvl.ZXY, single, single, layer=1)


def test_saved_and_loaded_it_is_the_same(planted: Transfer, tmp_path: Path) -> None:
    planted.save(tmp_path / "result.nc")
    xr.testing.assert_identical(Transfer.load(tmp_path / "result.nc").data, planted.data)


def test_the_figure_shows_the_matrices(planted: Transfer) -> None:
    drawn: Any = tvl.plots.plot_transfer({"a": planted, "b": planted})
    layers, lengths = drawn.data[:2]
    recovered = planted.layer_recovery().transpose("read", "write")
    np.testing.assert_array_equal(layers.z, recovered.estimate)
    np.testing.assert_array_equal(layers.customdata[..., 0], recovered.low)
    assert list(layers.x) == list(layers.y) == ["0", "1", "2", "3", "4"]
    by_length = planted.length_recovery().transpose("examples", "position")
    np.testing.assert_array_equal(lengths.z, by_length.estimate)
    assert {each.coloraxis for each in drawn.data} == {"coloraxis"}
    assert (drawn.layout.coloraxis.cmin, drawn.layout.coloraxis.cmax) == (-1, 1)


def test_the_script_runs_on_a_shipped_model(script: Script, tmp_path: Path) -> None:
    options = ("--episodes", "16", "--examples", "3", "--device", "cpu", "--out", tmp_path)
    ended = script("transfer.py", "sinusoid-tvp", *options)
    assert ended.code == 0 and "written_below" in ended.out
    assert {each.suffix for each in tmp_path.iterdir() if each.is_file()} == {
        ".html",
        ".csv",
        ".nc",
    }


def test_the_code_of_the_page_runs() -> None:
    (block,) = python_blocks("docs/analyses/transfer.md")
    exec(compile(block, "transfer.md", "exec"), {"__name__": "documentation"})
