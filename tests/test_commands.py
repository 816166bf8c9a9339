"""Scripts of analyses: the layer they choose, the files they leave, and what they refuse."""

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import tvlens as tvl
from tests.planted import planted_model
from tests.running import Script

FEW = ("--episodes", 16, "--device", "cpu")


@pytest.mark.parametrize(("learn", "answer"), [(1, 2), (2, 3), (3, 4)])
def test_the_best_layer_is_where_the_vector_was_planted(learn: int, answer: int) -> None:
    task, generator = tvl.LinearRegression(d=2), torch.Generator().manual_seed(0)
    episodes = tvl.sample_episodes(task, 64, 4, generator=generator)
    queries = tvl.fresh_queries(task, episodes, generator=generator)
    model = planted_model(4, learn, answer, 2)
    assert tvl.best_layer(model, task, tvl.ZXY, episodes, queries) == learn


def test_a_model_of_one_block_has_no_layer_to_choose() -> None:
    task, generator = tvl.LinearRegression(d=2), torch.Generator().manual_seed(0)
    episodes = tvl.sample_episodes(task, 4, 4, generator=generator)
    config = tvl.TransformerConfig(n_layers=1, d_model=8, n_heads=2)
    model = tvl.HookedTransformer(config, tvl.ZXY.d_in(2, 1), 1, generator=generator)
    with pytest.raises(tvl.InputError, match="no layer between two blocks"):
        tvl.best_layer(model, task, tvl.ZXY, episodes, episodes)


def test_a_study_leaves_a_page_a_table_and_results_of_each_model(
    script: Script,
    tmp_path: Path,
) -> None:
    names = ["offset-vanilla", "offset-tvp"]
    ended = script("icl_curve.py", *names, *FEW, "--examples", 3, "--out", tmp_path)
    assert ended.code == 0, ended.error
    results = tvl.results.load_results(tvl.ICLCurve, tmp_path / "icl_curve.nc")
    assert list(results) == names
    table = pd.read_csv(tmp_path / "icl_curve.csv").set_index(["model", "score"])
    for name, result in results.items():
        assert result.data.examples.values.tolist() == [0, 1, 2, 3]
        expected = result.data.icl.isel(examples=-1).mean("episode")
        assert table.loc[(name, "icl"), "estimate"] == pytest.approx(float(expected), abs=1e-9)
    assert results["offset-tvp"].data.attrs["layer"] == 2  # Prescribed in training.
    assert "What the context gives" in (tmp_path / "icl_curve.html").read_text()


def test_a_study_is_drawn_again_from_its_results(
    script: Script,
    tmp_path: Path,
) -> None:
    arguments = ("icl_curve.py", "offset-tvp", *FEW, "--examples", 2, "--out", tmp_path / "a")
    first = script(*arguments)
    again = script("icl_curve.py", "--replot", tmp_path / "a/icl_curve.nc", "--out", tmp_path / "b")
    assert (first.code, again.code) == (0, 0)
    assert again.out.splitlines()[:5] == first.out.splitlines()[:5]
    tables = [(tmp_path / each / "icl_curve.csv").read_text() for each in "ab"]
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["linear-tpv"], "Did you mean 'linear-tvp'"),
        (["offset-tvp", "offset-tvp"], "Two models are called 'offset-tvp'"),
        (["offset-tvp", "--episodes", 9], "too few for intervals"),
        (["offset-tvp", "--examples", 0], "give at least 1"),
        (["offset-tvp", "--device", "cuda:99"], "cuda:99"),
        (["--replot", "nowhere.nc"], "There is no file nowhere.nc"),
        (["offset-tvp", "--layer", 9], "boundaries 0..3"),
    ],
)
def test_a_study_that_cannot_be_made_ends_in_one_line(
    script: Script,
    tmp_path: Path,
    arguments: list,
    words: str,
) -> None:
    ended = script("icl_curve.py", *arguments, "--out", tmp_path)
    assert ended.code == 2
    assert words in ended.error
    assert "Traceback" not in ended.error
    assert not (tmp_path / "icl_curve.nc").exists()


def test_an_answer_that_is_there_is_not_computed_again(
    script: Script,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    original = tvl.analysis.icl_curve

    def counted(*args: Any, **kwargs: Any) -> tvl.ICLCurve:
        asked.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(tvl.analysis, "icl_curve", counted)
    common = (*FEW, "--examples", 2, "--out", tmp_path)
    for models, extra, computed in (
        (["offset-tvp"], [], 1),
        (["offset-vanilla", "offset-tvp"], [], 1),
        (["offset-tvp"], [], 0),
        (["offset-tvp"], ["--seed", 1], 1),
        (["offset-vanilla"], [], 0),
    ):
        asked.clear()
        ended = script("icl_curve.py", *models, *common, *extra)
        assert (ended.code, len(asked)) == (0, computed), (models, extra, ended.error)
        kept = tvl.results.load_results(tvl.ICLCurve, tmp_path / "icl_curve.nc")
        assert list(kept) == models
        assert {each.data.attrs["version"] for each in kept.values()} == {tvl.__version__}


def test_an_interrupted_study_keeps_what_it_has(
    script: Script,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    original = tvl.analysis.icl_curve

    def second_fails(*args: Any, **kwargs: Any) -> tvl.ICLCurve:
        asked.append(args)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(tvl.analysis, "icl_curve", second_fails)
    call = ("icl_curve.py", "offset-vanilla", "offset-tvp", *FEW, "--out", tmp_path)
    assert script(*call, "--examples", 3).code == 130
    assert not (tmp_path / "icl_curve.nc").exists(), "half a file would be drawn as a whole one"
    assert script(*call, "--examples", 3).code == 0
    assert len(asked) == 3, "the first model was not asked again"


def test_an_answer_depends_on_the_snapshots_of_a_run(
    script: Script,
    tmp_path: Path,
) -> None:
    study = importlib.import_module("study")
    run = tvl.load_pretrained("offset-tvp", device="cpu")
    subject = study.Subject("run", tmp_path, run, study.Study())
    before = subject.fingerprint
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "00000010.safetensors").touch()
    after = dataclasses.replace(subject).fingerprint
    assert before != after
    assert dataclasses.replace(subject).fingerprint == after
    assert dataclasses.replace(subject, config=study.Study(out=tmp_path)).fingerprint == after


def test_a_quiet_script_prints_nothing_but_errors(
    script: Script,
    tmp_path: Path,
) -> None:
    common = (*FEW, "--examples", 2, "--out", tmp_path)
    ended = script("icl_curve.py", "offset-tvp", *common, "-q")
    assert (ended.code, ended.out, ended.error) == (0, "", "")
    assert (tmp_path / "icl_curve.html").exists()
    ended = script("icl_curve.py", "offset-tpv", *common, "-q")
    assert (ended.code, ended.out) == (2, "") and "Did you mean 'offset-tvp'" in ended.error


def test_controls_are_not_drawn_with_the_seed_of_the_episodes(
    script: Script,
) -> None:
    study = importlib.import_module("study")
    run = tvl.load_pretrained("linear-tvp", device="cpu")
    subject = study.Subject("linear-tvp", "linear-tvp", run, study.Study(episodes=16))
    episodes, _ = subject.episodes()
    drawn = torch.randn(16, 5, generator=subject.generator)
    assert not torch.isin(episodes.params, drawn).any()
    shorter = dataclasses.replace(subject, config=study.Study(episodes=16, examples=3))
    assert shorter.episodes()[0].shots == 4
