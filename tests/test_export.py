"""Figures as files: each format is what it says, and as wide as the paper asks."""

import json
import re
import shutil
import struct
from pathlib import Path

import plotly.graph_objects as go
import plotly.io as pio
import pytest

import tvlens as tvl
from tvlens.plots import paper_figure, write_figure
from tvlens.results import LocalityMap

MILLIMETRE = 96 / 25.4  # A CSS pixel is 1/96 inch.
needs_browser = pytest.mark.skipif(
    not any(map(shutil.which, ("chromium", "google-chrome", "chrome"))), reason="no Chromium here"
)


@pytest.fixture(scope="module")
def figure(planted_map: LocalityMap) -> go.Figure:
    return tvl.plots.plot_locality({"a": planted_map})


@pytest.mark.parametrize(("paper", "wide"), [("single-column", 89), ("double-column", 183)])
def test_text_is_8_points_on_a_figure_as_wide_as_the_column(
    figure: go.Figure, paper: str, wide: float
) -> None:
    before = figure.to_dict()
    size, drawn = tvl.plots.PAPER[paper], paper_figure(figure, paper)
    assert drawn.layout.width * size.scale == pytest.approx(wide * MILLIMETRE, rel=2e-3)
    pixels = drawn.layout.template.layout.font.size * size.scale
    assert pixels * 72 / 96 == pytest.approx(8)
    assert not drawn.layout.sliders and not drawn.layout.updatemenus
    assert drawn.layout.title.text is None
    assert {each.font.size for each in drawn.layout.annotations} == {14}
    assert before["layout"] == figure.to_dict()["layout"], "the figure is left as it was"


def test_html_and_json_hold_the_figure(figure: go.Figure, tmp_path: Path) -> None:
    write_figure(figure, tmp_path / "f.html")
    page = (tmp_path / "f.html").read_text()
    assert "Plotly.newPlot" in page and not re.findall(r"<script[^>]*src=", page)
    write_figure(figure, tmp_path / "f.json")
    again = pio.read_json(tmp_path / "f.json")
    assert json.loads(str(again.to_json())) == json.loads(str(figure.to_json()))


@needs_browser
def test_pictures_have_the_size_of_the_paper(figure: go.Figure, tmp_path: Path) -> None:
    files = {ending: tmp_path / f"f.{ending}" for ending in ("png", "svg", "pdf")}
    for file in files.values():
        write_figure(figure, file, paper="single-column")
    width, _ = struct.unpack(">II", files["png"].read_bytes()[16:24])
    assert width / 300 * 25.4 == pytest.approx(89, rel=3e-3)
    svg = files["svg"].read_text()
    found = re.search(r'<svg[^>]* width="([\d.]+)"', svg)
    assert found is not None
    assert float(found[1]) / MILLIMETRE == pytest.approx(89, rel=3e-3)
    assert "z (carrier)" in svg
    box = re.search(rb"/MediaBox \[0 0 ([\d.]+) ", files["pdf"].read_bytes())
    assert files["pdf"].read_bytes().startswith(b"%PDF") and box is not None
    assert float(box[1]) / 72 * 25.4 == pytest.approx(89, rel=5e-3)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("figure", {}, r"its ending says no format; give one of \.html"),
        ("figure.gif", {}, "its ending says no format"),
        ("figure.pdf", {"paper": "single-colum"}, "Did you mean 'single-column'"),
    ],
)
def test_what_can_not_be_written_is_said_before_anything_is(
    figure: go.Figure, tmp_path: Path, name: str, options: dict, words: str
) -> None:
    with pytest.raises(tvl.InputError, match=words):
        write_figure(figure, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []
