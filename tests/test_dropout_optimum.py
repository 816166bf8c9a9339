"""The least risks under token dropout."""

import pytest
import torch
from torch import Generator
from torch.testing import assert_close

import tvlens as tvl
from tvlens import theory

ALL, UP_TO_OWN, BEFORE_OWN = theory.ArrowSources


def best(keep: float, sources: theory.ArrowSources = ALL) -> theory.DropoutOptimum:
    generator = Generator().manual_seed(0)
    return theory.optimal_dropout_mixing(4, 3, keep, sources=sources, starts=3, generator=generator)


@pytest.mark.parametrize("keep", [0.5, 0.8, 1.0])
def test_the_closed_form_is_the_minimum_without_task_vectors(keep: float):
    n, d = 4, 3

    def risk(ends: torch.Tensor) -> torch.Tensor:
        terms = theory.MixingTerms(ends[0], ends[1], torch.zeros((), dtype=torch.float64))
        return theory.dropout_risk(terms, torch.zeros(n, n + 1, dtype=torch.float64), d, keep)

    # A quadratic: one Newton step from anywhere ends in a minimum. At keep 1 only the sum counts,
    # and the pseudoinverse leaves the difference as it is.
    zero, step = torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    slope = torch.func.grad(risk)
    curvature = torch.stack([slope(row) - slope(zero) for row in step])
    minimum = -torch.linalg.pinv(curvature) @ slope(zero)
    found = theory.optimal_pairs_dropout_risk(n, d, keep)
    assert float(risk(minimum)) == pytest.approx(found, rel=1e-10)


def test_task_vectors_lower_the_least_risk_where_tokens_drop_out():
    assert best(1.0).risk == pytest.approx(theory.optimal_risk(4, 3), rel=1e-7)
    for keep in (0.5, 0.8):
        found = best(keep)
        assert found.risk < theory.optimal_pairs_dropout_risk(4, 3, keep) - 0.05
        assert found.risk == pytest.approx(
            float(theory.dropout_risk(found.terms, found.mixing, 3, keep))
        )


def test_the_least_risk_is_searched_for_once():
    found = theory.optimal_dropout_risk(4, 3, 0.8)
    assert found == pytest.approx(best(0.8).risk, rel=1e-6)
    # A second search would end in another object.
    assert theory.optimal_dropout_risk(4, 3, 0.8) is found


def test_arrows_treat_examples_alike_unless_order_counts():
    gram = best(0.8).mixing @ best(0.8).mixing.T
    mean = gram.diagonal().mean()
    assert_close(gram, mean * torch.eye(4, dtype=mean.dtype), rtol=0, atol=0.05 * float(mean))
    up_to, before = best(0.8, UP_TO_OWN), best(0.8, BEFORE_OWN)
    assert (up_to.mixing[:, -1].abs().diff() > 0).all()
    # Less is allowed from case to case. In the last the arrows hold one example each.
    assert best(0.8).risk < up_to.risk < before.risk
    assert_close(before.mixing.abs().argmax(0)[1:], torch.arange(4))
    assert up_to.terms.at_x == before.terms.at_x == 0


def test_a_keep_that_is_no_probability_is_refused():
    with pytest.raises(tvl.InputError, match="above 0 and at most 1"):
        theory.optimal_pairs_dropout_risk(3, 2, 0.0)
    with pytest.raises(tvl.InputError, match="above 0 and at most 1"):
        theory.optimal_dropout_risk(3, 2, 1.5)
