"""What the documentation shows runs, and says what is true."""

import re
from types import ModuleType

import pytest
from linear_pictures import LINEAR_PICTURES
from pictures import PICTURES

import tvlens as tvl
from tests.readme_example import ROOT, python_blocks
from tvlens.commands.asked_models import shipped
from tvlens.studies.questions import QUESTIONS

SCRIPTS = [file.stem for file in (ROOT / "analyses").glob("*.py") if "__main__" in file.read_text()]
PAGES = (
    "README.md",
    "docs/concepts.md",
    "docs/extending.md",
    "docs/analyses.md",
    "docs/analyses/emergence.md",
    "docs/analyses/linear_risk.md",
    "docs/analyses/demonstration_weights.md",
)


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
    "page",
    [
        "README.md",
        *(
            str(page.relative_to(ROOT))
            for page in ROOT.glob("docs/**/*.md")
            if "_build" not in page.parts
        ),
    ],
)
def test_links_and_named_files_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    for target, heading in re.findall(r"\]\((?!http)([^)#]+)(?:#([^)]+))?\)", text):
        file = (ROOT / page).parent / target
        assert file.exists(), target
        assert not heading or heading in anchors(file.read_text()), f"{target}#{heading}"
    for script in re.findall(r"analyses/\w+\.py", text):
        assert (ROOT / script).exists(), script


def anchors(page: str) -> list[str]:
    """What GitHub and the site call the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page, flags=re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings]


def test_the_reference_has_every_public_name() -> None:
    pages = "".join(page.read_text() for page in ROOT.glob("docs/api/*.md"))
    listed = set(re.findall(r"^\.\. (?:auto\w+|py:\w+):: tvlens\.([\w.]+)", pages, re.MULTILINE))
    assert {"analysis", "plots", "shifts", "theory"} <= listed, "these are listed whole"
    short = {name.rpartition(".")[2] for name in listed}
    for module in (tvl, tvl.results, tvl.tasks, tvl.models, tvl.training, tvl.interventions):
        names = {
            name for name in module.__all__ if not isinstance(getattr(module, name), ModuleType)
        }
        assert names <= short


def test_the_readme_names_every_model_that_ships() -> None:
    text = (ROOT / "README.md").read_text()
    assert all(f"`{name}`" in text for name in shipped(tvl.TokenFormat))


def test_the_page_of_scripts_lists_every_script() -> None:
    text = (ROOT / "docs/scripts.md").read_text()
    assert len(SCRIPTS) > 18
    assert [name for name in SCRIPTS if f"{name}.py" not in text] == []


def test_pictures_of_the_pages_can_be_drawn_again() -> None:
    drawn = {*PICTURES, *LINEAR_PICTURES}
    # The screenshot of a report, and what a benchmark draws.
    drawn |= {"report", "analyses/pruning_cost"}
    files = ((ROOT / "docs").glob(f"{folder}*.png") for folder in ("", "analyses/"))
    docs = ROOT / "docs"
    there = {str(each.relative_to(docs).with_suffix("")) for some in files for each in some}
    assert there == drawn


def test_the_gallery_asks_every_question_once() -> None:
    text = (ROOT / "docs/gallery.md").read_text()
    titles = [question.title for question in QUESTIONS.values()]
    assert re.findall(r"^## (.*)$", text, flags=re.M) == titles
    assert re.findall(r"^show\(\"(\w+)\"\)$", text, flags=re.M) == list(QUESTIONS)
    assert all(f"`tvlens {each.replace('_', '-')}`" in text for each in QUESTIONS)


def test_the_site_has_answers_to_every_question() -> None:
    """One report asks the default pair, and `make docs` names all that ask other models."""
    text = (ROOT / "Makefile").read_text()
    (named,) = re.findall(r"^OTHER_MODELS = ((?:.*\\\n)*.*)$", text, flags=re.M)
    pair = QUESTIONS["locality_map"].models
    others = {name for name, each in QUESTIONS.items() if each.models != pair}
    assert others <= {each.replace("-", "_") for each in named.replace("\\", "").split()}
