"""What the documentation shows runs, and says what is true."""

import re

import pytest

import tvlens as tvl
from tests.readme_example import ROOT, python_blocks

PAGES = ("README.md", "docs/extending.md", "docs/analyses.md", "docs/analyses/emergence.md")


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page: str, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"__name__": "documentation"}
    for block in python_blocks(page):
        exec(compile(block, page, "exec"), namespace)
    if page == "README.md":
        assert "plotly" in (tmp_path / "locality.html").read_text()
        scores = {name: each.scores()["estimate"] for name, each in namespace["maps"].items()}
        assert scores["linear-tvp"]["recovery"] > 0.9 > 0.2 > scores["linear-vanilla"]["recovery"]


@pytest.mark.parametrize(
    "page", ["README.md", *(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md"))]
)
def test_links_and_named_files_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert ((ROOT / page).parent / target).exists(), target
    for script in re.findall(r"analyses/\w+\.py", text):
        assert (ROOT / script).exists(), script


def test_the_readme_names_every_model_that_ships() -> None:
    text = (ROOT / "README.md").read_text()
    assert all(f"`{name}`" in text for name in tvl.list_pretrained())
