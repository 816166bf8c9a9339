"""Information flow against models that are known to put examples together in one block, and to make
the vector in another.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats
from torch import Generator

import tvlens as tvl
from tests.own_tasks import Constant
from tests.planted import planted_model
from tests.planted_flow import FlowModel
from tests.random_models import data, double_model, each_format, losses_of
from tests.readme_example import python_blocks
from tests.running import Script
from tvlens.analysis.information_flow import measure_information_flow
from tvlens.analysis.saliency_map import measure_saliency_map
from tvlens.interventions.baselines import task_vector_errors, zero_shot_errors
from tvlens.interventions.hooks import hooked_pass
from tvlens.prompts import ARROW, XYZ, ZXY, Episodes, TokenFormat
from tvlens.prompts.chunks import TOKENS_AT_ONCE
from tvlens.results import InformationFlow

TASK = tvl.LinearRegression(d=3)
WEIGHTS = [0.1, 1.0, 10.0]
CONSTANT = Constant()


def planted_data(batch: int = 40) -> tuple[Episodes, Episodes]:
    """Episodes of a constant that the mean of x y is near to, and fresh queries."""
    drawn, queries, _ = data(CONSTANT, batch)
    x = 1 + 0.1 * torch.randn(drawn.x.shape, generator=Generator().manual_seed(2)).double()
    return Episodes(x, drawn.y, drawn.target, drawn.params), queries


def planted_flow(format: TokenFormat, concat: int = 0, form: int = 2) -> InformationFlow:
    model = FlowModel(format, 4, concat, form, WEIGHTS)
    untrained = FlowModel(format, 4, 1, 2, WEIGHTS)
    return measure_information_flow(model, CONSTANT, format, *planted_data(), untrained=untrained)


@each_format
@pytest.mark.parametrize(("concat", "form"), [(0, 1), (0, 2), (1, 2)])
def test_the_blocks_are_found_where_they_were_planted(format: TokenFormat, concat: int, form: int):
    result = planted_flow(format, concat, form)
    scores = result.scores()
    expected = {
        **{"concat_block": concat, "form_block": form, "working_layer": form + 1, "in_order": 1},
        **{"concat": 1, "form": 1, "recency": 1},
        **{"untrained_concat_block": 1, "untrained_form_block": 2},
        **{"joint_concat_block": concat, "joint_form_block": form, "joint_in_order": 1},
    }
    for name, value in expected.items():
        np.testing.assert_allclose(scores.loc[name].astype(float), value, err_msg=name)
    # Elsewhere nothing depends on where these tokens look.
    shares = result.shares().estimate.sel(weights="trained")
    for flow, block in (("concat", concat), ("form", form)):
        elsewhere = shares.sel(flow=flow).drop_sel(block=block)
        assert elsewhere.isnull().all()


@each_format
def test_saliency_from_the_carrier_is_as_the_closed_form_has_it(format: TokenFormat):
    result, (episodes, _) = planted_flow(format), planted_data()
    share = torch.tensor(WEIGHTS).double() / sum(WEIGHTS)
    products = (episodes.x * episodes.y)[:, :-1, 0] * share
    wrong = products.sum(1) - episodes.target[:, -1, 0]
    expected = (2 * wrong[:, None] * products).abs()
    found = result.data.sel(weights="trained", block=2).carrier_to_y
    for measure in ("per_head", "joint"):
        one = found.sel(measure=measure).transpose("episode", "example")
        np.testing.assert_allclose(one, expected, rtol=1e-5)
    # What a y takes from its x is what the carrier takes from that y.
    own = result.data.sel(weights="trained", block=0, measure="per_head").y_to_own
    np.testing.assert_allclose(own, expected.sum(1), rtol=1e-5)


@pytest.mark.parametrize("format", [ZXY, ARROW], ids=["zxy", "arrow"])
def test_flows_are_attention_times_finite_differences_of_the_loss(format: TokenFormat):
    model, all_of = double_model(format), data()
    episodes, queries = (
        Episodes(e.x[:2, :3], e.y[:2, :3], e.target[:2, :3], e.params[:2]) for e in all_of[:2]
    )
    result = measure_information_flow(
        model, TASK, format, episodes, queries, untrained=double_model(format)
    )
    prompt, step = format.context(episodes), 1e-5
    # z x y z x y z x, and x -> y x -> y x ->.
    ys, own, carrier = [2, 5], {2: [0, 1], 5: [3, 4]}, 6 if format is ZXY else 7
    for block in (0, 1, 2):
        name = f"blocks.{block}.attn.hook_pattern"
        pattern = hooked_pass(model, prompt, read=[name]).activations[name].detach()
        edges = torch.eye(pattern[0].numel(), dtype=pattern.dtype)
        up, down = (
            losses_of(model, episodes, name, move, format) for move in (step * edges, -step * edges)
        )
        signed = pattern * ((up - down) / (2 * step)).T.unflatten(1, pattern.shape[1:])
        for measure, edge in (("per_head", signed.abs().sum(1)), ("joint", signed.sum(1).abs())):
            found = result.data.sel(weights="trained", measure=measure, block=block)
            expected = {
                "y_to_own": sum(edge[:, y, own[y]].sum(-1) for y in ys),
                "y_to_all": sum(edge[:, y].sum(-1) for y in ys),
                "carrier_to_y": edge[:, carrier, ys],
                "carrier_to_all": edge[:, carrier].sum(-1),
            }
            for flow, values in expected.items():
                one = found[flow].transpose("episode", ...)
                np.testing.assert_allclose(one, values, rtol=1e-5, atol=1e-9, err_msg=flow)


@each_format
def test_the_flows_are_parts_of_the_saliency_map(format: TokenFormat):
    model, (episodes, queries, _) = double_model(format), data()
    flow = measure_information_flow(model, TASK, format, episodes, queries, untrained=model).data
    kinds = measure_saliency_map(model, TASK, format, episodes).data
    for measure in ("per_head", "joint"):
        rows, edges = flow.sel(weights="trained", measure=measure), kinds[measure]
        np.testing.assert_allclose(rows.y_to_all, edges.sel(query="y").sum("key"), rtol=1e-5)
        assert (rows.y_to_own <= rows.y_to_all + 1e-12).all()
        if format is not XYZ:  # Its last carrier closes the last example.
            last = edges.sel(query=f"last {format.carrier}", key="y")
            np.testing.assert_allclose(rows.carrier_to_y.sum("example"), last, rtol=1e-5)
    np.testing.assert_array_equal(*(flow.y_to_own.sel(weights=each) for each in flow.weights))


@each_format
def test_errors_are_those_of_task_vector_prompting(format: TokenFormat):
    model, (episodes, queries, _) = double_model(format), data()
    found = measure_information_flow(model, TASK, format, episodes, queries, untrained=model).data
    common = (model, TASK, format)
    with torch.no_grad():
        tvp = [task_vector_errors(*common, episodes, queries, layer)[:, -1] for layer in range(4)]
        zero_shot = zero_shot_errors(*common, queries)[:, -1]
    np.testing.assert_allclose(found.tvp.transpose("layer", "episode"), tvp, rtol=1e-5)
    np.testing.assert_allclose(found.zero_shot, zero_shot, rtol=1e-5)


def test_recency_is_the_rank_correlation_of_the_mean_saliency():
    model, (episodes, queries, _) = double_model(), data()
    result = measure_information_flow(model, TASK, ZXY, episodes, queries, untrained=double_model())
    means = result.data.carrier_to_y.mean("episode")
    for block in (0, 1):
        one = {"weights": "trained", "measure": "joint", "block": block}
        spearman: Any = stats.spearmanr(means.example, means.sel(one))
        np.testing.assert_allclose(result.recency().estimate.sel(one), spearman.statistic)


def test_the_wrong_order_is_told():
    result = planted_flow(ZXY)
    turned = result.data.copy()
    for name in ("y_to_own", "y_to_all", "carrier_to_y", "carrier_to_all"):
        turned[name] = result.data[name].copy(data=result.data[name].sel(block=[3, 2, 1, 0]).values)
    scores = InformationFlow(turned).scores().estimate
    assert (scores.concat_block, scores.form_block, scores.in_order) == (3, 1, 0)
    late = result.data.assign(tvp=result.data.tvp.roll(layer=-1))
    scores = InformationFlow(late).scores().estimate
    assert (scores.form_block, scores.working_layer, scores.in_order) == (2, 2, 0)


def test_without_a_vector_that_works_there_is_no_order():
    result = planted_flow(ZXY)
    nothing = result.data.assign(tvp=result.data.tvp * 0 + result.data.zero_shot)
    scores = InformationFlow(nothing).scores()
    assert scores.loc[["working_layer", "in_order", "recovery"]].isna().all(axis=None)
    assert scores.estimate.form_block == 2


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    model, (episodes, queries, _) = double_model(), data()
    arguments = (model, TASK, ZXY, episodes, queries)
    whole = measure_information_flow(*arguments, untrained=model)
    monkeypatch.setitem(TOKENS_AT_ONCE, "cpu", 30)
    pieces = measure_information_flow(*arguments, untrained=model)
    xr.testing.assert_allclose(pieces.data, whole.data, rtol=1e-6)


def test_what_cannot_be_asked_is_refused():
    model, (episodes, queries, _) = double_model(), data()
    planted = planted_model(3, 1, 2, 3)
    with pytest.raises(tvl.InputError, match=r"no hook point 'blocks\.0\.attn\.hook_pattern'"):
        measure_information_flow(planted, TASK, ZXY, episodes, queries, untrained=model)
    short = Episodes(episodes.x[:, :2], episodes.y[:, :2], episodes.target[:, :2], episodes.params)
    with pytest.raises(tvl.InputError, match="at least 3 shots, got 2"):
        measure_information_flow(model, TASK, ZXY, short, short, untrained=model)


def test_the_figure_shows_what_the_result_says(tmp_path: Path):
    result = planted_flow(ZXY)
    result.save(tmp_path / "result.nc")
    assert InformationFlow.load(tmp_path / "result.nc").data.identical(result.data)
    drawn: Any = tvl.plots.plot_information_flow({"a": result, "b": result})
    lines = {trace.name: trace for trace in drawn.data if trace.name}
    shares = result.shares().estimate.sel(measure="per_head", weights="trained")
    form = lines["last carrier to all y"]
    np.testing.assert_array_equal(form.y, shares.sel(flow="form"))
    assert "block %{x}" in form.hovertemplate
    np.testing.assert_array_equal(lines["vector of the layer"].y, result.recovery().estimate)
    assert "layer %{x}" in lines["vector of the layer"].hovertemplate


def test_the_script_analyses_models_that_ship(script: Script, tmp_path: Path):
    arguments = ["offset-vanilla", "linear-arrow-tvp", "--episodes", 10, "--examples", 3]
    ended = script("information_flow.py", *arguments, "--out", tmp_path)
    assert ended.code == 0, ended.error
    endings = {f"information_flow.{ending}" for ending in ("html", "csv", "nc")}
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == endings


def test_the_code_of_the_page_runs():
    namespace: dict = {"__name__": "documentation"}
    for block in python_blocks("docs/analyses/information_flow.md"):
        exec(compile(block, "information_flow", "exec"), namespace)
    assert "in_order" in namespace["result"].scores().index
