"""What a user can get wrong about linear transformers ends with one sentence that helps."""

import subprocess
import sys

import pytest
import torch
from torch import Generator

import tvlens as tvl
from tvlens.analysis.demonstration_value import measure_demonstration_value
from tvlens.analysis.rank_sweep import item_tests
from tvlens.base.errors import InputError

UNTYPED = """
import torch, tvlens as tvl
from tvlens.analysis.demonstration_value import measure_demonstration_value
from tvlens.analysis.dropout_risk import measure_dropout_risk
from tvlens.analysis.learned_structure import measure_learned_structure
from tvlens.analysis.linear_risk import measure_linear_risk
from tvlens.analysis.rank_sweep import item_tests, measure_rank_sweep
from tvlens.analysis.risk_landscape import measure_risk_landscape
rng = torch.Generator().manual_seed(0)
task = tvl.MatrixRegression()
softmax = [tvl.load_pretrained("linear-tvp", device="cpu").model]
episodes = tvl.sample_episodes(task, 16, 6, generator=rng)
queries = tvl.fresh_queries(task, episodes, generator=rng)
tests = item_tests(4, 5, 4, generator=rng)
for wrong in (
    lambda: tvl.MatrixRegression(2, covariance=torch.eye(2)),
    lambda: tvl.MatrixRegression(2, covariance=(1.0, 1.0)),
    lambda: measure_linear_risk(softmax, task, episodes),
    lambda: measure_dropout_risk(softmax, task, episodes, generator=rng),
    lambda: measure_demonstration_value(softmax, task, episodes, queries, generator=rng),
    lambda: measure_rank_sweep(softmax, tests),
    lambda: measure_learned_structure(softmax, task, untrained=softmax),
    lambda: measure_risk_landscape(softmax, task, episodes, generator=rng),
):
    try:
        wrong()
    except tvl.InputError as error:
        print(error)
"""


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def test_what_types_forbid_is_refused_where_none_are_checked():
    ended = subprocess.run([sys.executable, "-c", UNTYPED], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout.splitlines()
    assert len(said) == 8
    assert all("rows of numbers" in line and "matrix.tolist()" in line for line in said[:2])
    assert all("got a HookedTransformer" in line for line in said[2:])
    assert all("load_seeds" in line for line in said[2:])


def test_queries_of_other_functions_are_refused():
    (model,) = (run.model for run in tvl.load_seeds("triplet-2x5", device="cpu")[:1])
    task = tvl.MatrixRegression()
    episodes, others = (tvl.sample_episodes(task, 8, 6, generator=rng(seed)) for seed in (0, 1))
    with pytest.raises(InputError, match="queries of the same functions"):
        measure_demonstration_value([model], task, episodes, others, generator=rng())


def test_sizes_that_leave_nothing_to_ask_are_refused():
    for d, examples in ((1, 5), (0, 5), (4, 0)):
        with pytest.raises(InputError, match=f"got {d} and {examples}"):
            item_tests(d, examples, 8, generator=rng())
    with pytest.raises(InputError, match="at least 1 start, got 0"):
        tvl.theory.optimal_dropout_mixing(3, 2, 0.5, starts=0, generator=rng())
    with pytest.raises(InputError, match="swaps a vector with 0"):
        tvl.theory.rank_one_swap(torch.ones(2), torch.zeros(2))


def test_a_vector_for_each_of_more_arrows_than_there_are_is_refused():
    model = tvl.load_seeds("triplet-2x5", device="cpu")[0].model
    episodes = tvl.sample_episodes(tvl.MatrixRegression(), 4, 6, generator=rng())
    prompt = model.format.context(episodes)
    arrows = tvl.Site(1, tvl.Role.ARROW)
    with pytest.raises(InputError, match=r"shape.*\(4, 7, 8\).*\(4, 6, 8\)"):
        tvl.write(model, prompt, arrows, torch.zeros(4, 7, 8))
    for layer in (-1, 3):
        with pytest.raises(InputError, match=r"Layer .* is out of range.*0\.\.2"):
            tvl.read(model, prompt, tvl.Site(layer, tvl.Role.ARROW))
