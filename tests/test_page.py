"""A report in a real browser: all is drawn, nothing is fetched, and everything answers."""

import base64
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.io as pio
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import tvlens as tvl
from tests.readme_example import ROOT
from tests.running import run_command
from tvlens.analysis.shared.needs import LINEAR
from tvlens.results import LocalityMap
from tvlens.studies.question import Question
from tvlens.studies.questions import QUESTIONS

SCREENSHOTS = ROOT / "figures" / "screenshots"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",
]


class Opened(NamedTuple):
    """A page, and what it did that it should not do."""

    page: Page
    complaints: list[str]
    requests: list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a model that ships and of a tiny one with snapshots, from few episodes."""
    folder = tmp_path_factory.mktemp("report")
    preset = tvl.PRESETS["linear-tvp-small"]
    tiny = replace(
        preset,
        task=tvl.LinearRegression(d=1),
        model=replace(preset.model, n_layers=2, d_model=32, n_heads=2),
        objective=replace(preset.objective, tvp_layer=1),
        train=replace(preset.train, steps=300, batch=64, examples=4, warmup=20, log_every=20),
    )
    tvl.train(tiny, folder / "tiny", device="cpu", snapshots=3)
    asked = ("--episodes", 96, "--examples", 4, "--device", "cpu", "--out", folder / "out")
    ended = run_command("report", "relations-tvp", folder / "tiny", *asked)
    assert ended.code == 0, ended.error
    return folder / "out" / "report.html"


def opened(browser: Browser, path: Path, **options: Any) -> Opened:
    page = browser.new_context(**options).new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    return Opened(page, complaints, requests)


@pytest.fixture
def map_page(browser: Browser, planted_map: LocalityMap, tmp_path: Path) -> Iterator[Page]:
    """A page of one locality map."""
    tvl.report(tmp_path / "map.html", {"planted": [planted_map]})
    page = opened(browser, tmp_path / "map.html", accept_downloads=True).page
    page.locator("figure").scroll_into_view_if_needed()
    page.wait_for_selector("figure[data-drawn=yes]")
    yield page
    page.close()


def asks_linear(question: Question) -> bool:
    """Whether a question is of linear transformers alone."""
    return LINEAR in getattr(question.analysis, "needs", ())


def cells(page: Page) -> list[str]:
    """The numbers that stand in the cells of the first heat map."""
    return page.locator("figure .heatmap-label").all_text_contents()


def numbers(table: Any) -> list[str]:
    return [f"{each:.2f}" for each in np.asarray(table).ravel()]


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_every_figure_of_a_report_is_drawn_and_nothing_is_fetched(
    browser: Browser, report: Path, theme: str
) -> None:
    page, complaints, requests = opened(
        browser, report, color_scheme=theme, viewport={"width": 1400, "height": 1000}
    )
    titles = page.locator("h2").all_text_contents()
    assert titles[:2] == ["Key numbers", "What was trained"]
    asked = [each.title for each in QUESTIONS.values() if not asks_linear(each)]
    assert titles[2:] == asked
    figures = page.locator("figure").all()
    assert len(figures) >= len(asked)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        figure.scroll_into_view_if_needed()
        name = figure.get_attribute("id")
        page.wait_for_selector(f"#{name}[data-drawn=yes]")
        marks = figure.locator(".trace, .heatmaplayer image, .gl-container canvas, .barlayer path")
        assert marks.count() > 0, name
        figure.screenshot(path=SCREENSHOTS / f"{name}-{theme}.png")
    assert complaints == []
    assert requests == [report.as_uri()]
    page.close()


def test_a_report_is_light_and_quickly_there(browser: Browser, report: Path) -> None:
    assert report.stat().st_size < 12_000_000
    seconds = []
    for _ in range(3):  # The best of three: other work on the machine is not the page's.
        page = opened(browser, report).page
        timing = page.evaluate("JSON.stringify(performance.getEntriesByType('navigation')[0])")
        seconds.append(json.loads(timing)["domComplete"] / 1000)
        page.close()
    assert min(seconds) < 3


def test_a_report_fits_a_phone(browser: Browser, report: Path) -> None:
    page = opened(browser, report, viewport={"width": 390, "height": 844}).page
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    contents = page.locator("nav.contents details")
    assert contents.get_attribute("open") is None
    contents.locator("summary").click()
    page.locator("nav.contents a").nth(3).click()
    assert contents.get_attribute("open") is None
    assert page.locator("section").nth(3).bounding_box()["y"] < 100  # pyright: ignore
    page.screenshot(path=SCREENSHOTS / "phone.png")
    page.close()


def test_a_slider_changes_the_figure(map_page: Page, planted_map: LocalityMap) -> None:
    recovery = planted_map.recovery().estimate.transpose("examples", "layer", "role")
    assert cells(map_page) == numbers(recovery.isel(examples=-1))
    rail = map_page.locator(".slider-rail-touch-rect").bounding_box()
    assert rail is not None
    map_page.mouse.click(rail["x"] + 2, rail["y"] + rail["height"] / 2)
    map_page.wait_for_timeout(500)
    first = planted_map.data.examples.values[1]
    label = map_page.locator(".slider-label").first.text_content() or ""
    assert "examples in the context: 1" in label
    assert cells(map_page) == numbers(recovery.sel(examples=first))
    assert not np.array_equal(recovery.sel(examples=first), recovery.isel(examples=-1))


def test_hovering_tells_all_numbers_of_a_cell(map_page: Page, planted_map: LocalityMap) -> None:
    plot = map_page.locator("figure .heatmaplayer image").bounding_box()
    assert plot is not None
    layers = planted_map.data.sizes["layer"]
    map_page.mouse.move(plot["x"] + 5, plot["y"] + plot["height"] * 0.5 / layers)
    map_page.wait_for_selector(".hoverlayer .hovertext")
    said = map_page.locator(".hoverlayer .hovertext").text_content() or ""
    cell = planted_map.recovery().isel(examples=-1, layer=-1, role=0)
    assert f"layer {layers - 1}, token z (carrier)" in said
    assert f"recovery {cell.estimate:.3f}, 95% interval {cell.low:.3f} to {cell.high:.3f}" in said
    assert "error" in said


def test_the_numbers_of_a_figure_can_be_taken_away(
    map_page: Page, planted_map: LocalityMap
) -> None:
    with map_page.expect_download() as saved:
        map_page.locator("button[data-action=csv]").click()
    table = pd.read_csv(saved.value.path())
    recovery = planted_map.recovery().isel(examples=-1).transpose("layer", "role")
    assert set(table["panel"]) == {"planted"}
    assert "95% interval %{customdata[0]:.3f}" in table["hover"][0]
    np.testing.assert_allclose(table["z"], recovery.estimate.values.ravel())
    low = recovery.low.values.ravel()
    np.testing.assert_allclose(table["customdata[0]"], low, rtol=1e-6, atol=1e-9)
    assert table["y"].tolist() == np.repeat(recovery.layer.values, 3).tolist()

    with map_page.expect_download() as saved:
        map_page.locator("button[data-action=json]").click()
    again: Any = pio.from_json(Path(saved.value.path()).read_text())
    z = np.frombuffer(base64.b64decode(again.data[0].z["bdata"]), again.data[0].z["dtype"])
    np.testing.assert_array_equal(z, recovery.estimate.values.ravel())
    assert len(again.frames) == len(planted_map.data.examples) - 1


def test_a_table_is_copied_with_all_its_digits(map_page: Page, planted_map: LocalityMap) -> None:
    copied = "navigator.clipboard.writeText = async (text) => { window.copied = text; }"
    map_page.evaluate(copied)
    map_page.locator("details > summary", has_text="Numbers").click()
    map_page.locator("details .with-table button").click()
    table = pd.read_csv(io.StringIO(map_page.evaluate("window.copied")))
    scores = planted_map.scores()
    assert table["score"].tolist() == scores.index.tolist()
    np.testing.assert_allclose(table["estimate"], scores["estimate"])


def test_the_theme_can_be_chosen(map_page: Page) -> None:
    def colours() -> tuple[str, str]:
        paper = "getComputedStyle(document.body).backgroundColor"
        ink = "document.querySelector('figure .gtitle').style.fill"
        return map_page.evaluate(paper), map_page.evaluate(ink)

    light = colours()
    map_page.locator("#theme").click()
    map_page.wait_for_selector("figure[data-drawn=yes]")
    dark = colours()
    assert light[0] == "rgb(255, 255, 255)" and dark[0] == "rgb(22, 25, 29)"
    assert light[1] != dark[1]
