"""Figures show the numbers of their result, on pinned scales, and need nothing else."""

import re
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
import pytest
import xarray as xr

import tvlens as tvl
from tvlens.results import History, LocalityMap, figure
from tvlens.results.history import Row


def test_heat_maps_show_recovery_by_layer_and_role(planted_map: LocalityMap) -> None:
    drawn: Any = tvl.plots.plot_locality({"a": planted_map, "b": planted_map})
    recovery = planted_map.recovery()
    first, second = drawn.data
    assert (first.type, second.type) == ("heatmap", "heatmap")
    np.testing.assert_array_equal(first.z, recovery.estimate.isel(examples=-1))
    np.testing.assert_array_equal(first.customdata[..., 0], recovery.low.isel(examples=-1))
    np.testing.assert_array_equal(
        first.customdata[..., 2], planted_map.data.tvp.mean("episode").isel(examples=-1)
    )
    assert list(first.x) == ["z (carrier)", "x", "y on z"]
    assert list(first.y) == ["0", "1", "2", "3", "4"], "plotly draws the first row at the bottom"
    assert drawn.layout.yaxis.autorange != "reversed"
    assert [each.text for each in drawn.layout.annotations] == ["a", "b"]


def test_the_slider_has_a_frame_for_every_context_length(
    planted_map: LocalityMap,
) -> None:
    drawn: Any = tvl.plots.plot_locality(planted_map)
    lengths = [str(n) for n in planted_map.data.examples.values[1:]]
    assert [frame.name for frame in drawn.frames] == lengths
    assert [step.label for step in drawn.layout.sliders[0].steps] == lengths
    recovery = planted_map.recovery().estimate
    for frame in drawn.frames:
        np.testing.assert_array_equal(frame.data[0].z, recovery.sel(examples=int(frame.name)))


def test_the_colour_scale_is_symmetric_and_the_same_in_every_frame(
    planted_map: LocalityMap,
) -> None:
    drawn: Any = tvl.plots.plot_locality({"a": planted_map, "b": planted_map})
    axis = drawn.layout.coloraxis
    assert (axis.cmin, axis.cmax) == (-1, 1)
    traces = [*drawn.data, *(trace for frame in drawn.frames for trace in frame.data)]
    assert {trace.coloraxis for trace in traces} == {"coloraxis"}


def test_curves_show_means_and_bands(planted_map: LocalityMap) -> None:
    drawn: Any = tvl.plots.plot_icl_curve(planted_map.curve())
    summary = planted_map.curve().summary()
    line = next(trace for trace in drawn.data if trace.name == "task vector")
    np.testing.assert_array_equal(line.y, summary.tvp.sel(bound="estimate"))
    np.testing.assert_allclose(
        summary.tvp.sel(bound="estimate"), planted_map.curve().data.tvp.mean("episode"), rtol=1e-6
    )
    low, high = drawn.data[list(drawn.data).index(line) - 2 :][:2]
    np.testing.assert_array_equal(low.y, summary.tvp.sel(bound="low"))
    np.testing.assert_array_equal(high.y, summary.tvp.sel(bound="high"))
    assert high.fill == "tonexty"


def test_the_history_leaves_out_a_loss_that_was_not_trained() -> None:
    unknown = np.array(np.nan)
    rows = [
        Row(step, np.array(loss), np.array(loss), unknown, 1.0)
        for step, loss in ((1, 0.5), (2, 0.4))
    ]
    drawn: Any = tvl.plots.plot_history(History.from_rows(rows))
    assert [trace.name for trace in drawn.data] == ["in context"]
    np.testing.assert_array_equal(drawn.data[0].y, [0.5, 0.4])


def test_every_result_shows_itself_in_a_notebook(planted_map: LocalityMap) -> None:
    history = History.from_rows([Row(1, np.ones(()), np.ones(()), np.ones(()), 1.0)])
    for result in (planted_map, planted_map.curve(), history):
        assert isinstance(figure(result), go.Figure)
        assert "plotly" in result._repr_html_()


def test_a_notebook_shows_the_scores_and_the_figure(
    planted_map: LocalityMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict] = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    monkeypatch.setattr(pio.renderers, "default", "plotly_mimetype")
    planted_map._ipython_display_()
    table, plot = shown
    assert f"{planted_map.scores().estimate['recovery']:.4g}" in table["text/html"]
    (drawn,) = plot.values()
    assert drawn["data"][0]["type"] == "heatmap"
    shown.clear()
    monkeypatch.setattr(pio.renderers, "default", "browser")
    planted_map._ipython_display_()
    assert len(shown) == 1, "a terminal gets text, and no window opens"


def test_a_result_becomes_a_long_table(planted_map: LocalityMap) -> None:
    table = planted_map.to_dataframe()
    labels = ["episode", "layer", "role", "examples"]
    assert table.columns.tolist() == ["variable", *labels, "written", "value"]
    assert len(table) == sum(each.size for each in planted_map.data.data_vars.values())
    tvp = table[table.variable == "tvp"].set_index(labels)["value"].to_xarray()
    xr.testing.assert_allclose(
        tvp.astype("float32"),
        planted_map.data.tvp.reset_coords(drop=True).reindex_like(tvp),
        atol=0,
    )
    icl = table.loc[table["variable"] == "icl"]
    assert pd.isna(icl["role"]).all() and str(icl["examples"].dtype) == "Int64"


def test_a_page_is_self_contained(planted_map: LocalityMap, tmp_path) -> None:
    path = tmp_path / "page.html"
    table = tvl.results.side_by_side({"planted": planted_map})
    tvl.plots.write_page(
        path,
        title="A <title>",
        text="text",
        sections=[tvl.plots.Section("section", [tvl.plots.plot_locality(planted_map)], table)],
    )
    page = path.read_text()
    assert "<h1>A &lt;title&gt;</h1>" in page and "<h2>section</h2>" in page and "planted" in page
    assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=(?!\"data:)", page)


def test_a_picture_says_what_is_missing(monkeypatch, tmp_path) -> None:
    def no_browser(*args, **kwargs):
        raise RuntimeError("no browser here")

    monkeypatch.setattr(go.Figure, "to_image", no_browser)
    with pytest.raises(tvl.InputError, match=r"tvlens\[pictures\].*Chromium"):
        tvl.plots.write_figure(go.Figure(), tmp_path / "figure.png")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_value_is_an_empty_cell(planted_map: LocalityMap) -> None:
    data = planted_map.data.copy(deep=True)
    data["icl"] = xr.ones_like(data.icl) * data.zero_shot
    drawn: Any = tvl.plots.plot_locality(LocalityMap(data))
    assert np.isnan(drawn.data[0].z).all() and drawn.data[0].hoverongaps is False


def test_plots_import_no_torch() -> None:
    code = (
        "import sys, types; package = types.ModuleType('tvlens'); "
        f"package.__path__ = {[str(p) for p in tvl.__path__]!r}; sys.modules['tvlens'] = package; "
        "import tvlens.plots; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
