"""The pages that tell what a paper says beside what is found."""

from pathlib import Path

import linear_theory
import pandas as pd
import pytest
import task_vector_limits
from claims import Claim, Story, claims_table

import tvlens as tvl


def told(folder: Path, name: str) -> pd.DataFrame:
    assert (folder / f"{name}.html").read_text().startswith("<!doctype html>")
    return pd.read_csv(folder / f"{name}.csv").set_index("claim")


def test_the_weights_that_ship_are_what_theory_says(tmp_path: Path):
    """These claims are of weights alone: no episode can change them."""
    linear_theory.main(Story(tmp_path, episodes=200, device="cpu"))
    table = told(tmp_path, "linear_theory")
    of_weights = table[table.paper.str.contains("Thm|Prop 3, <")]
    assert len(of_weights) == 6 and of_weights.agrees.all()
    assert (table.low <= table.estimate).all() and (table.estimate <= table.high).all()


def test_one_vector_holds_a_map_of_rank_one_and_no_more(tmp_path: Path):
    story = task_vector_limits.Limits(tmp_path, episodes=400, device="cpu")
    task_vector_limits.main(story)
    table = told(tmp_path, "task_vector_limits")
    assert table.agrees["all vectors together are worth more"]
    linear = table[table.index.str.startswith("linear,")]
    assert len(linear) == 10
    assert ((linear.estimate - linear.paper.astype(float)).abs() < 0.08).all()
    without = table.loc["vectors form without dropout (mean, range of seeds)"]
    assert not without.agrees and without.high < 0.8


def test_a_claim_is_shown_with_its_interval():
    (row,) = claims_table([Claim("a", "1", 0.5, 0.25, 0.75, False)]).to_dict("records")
    assert row == {"claim": "a", "paper": "1", "measured": "0.5 (0.25 to 0.75)", "agrees": "no"}


def test_too_few_episodes_are_refused():
    with pytest.raises(tvl.InputError, match="at least 100"):
        Story(episodes=3)
