"""What a task is, and what can be done with any of them."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from tvlens.base.errors import InputError
from tvlens.prompts import Episodes


@runtime_checkable
class Task(Protocol):
    """A distribution over functions from x to y, with the best predictor there is for it.

    An implementation is a frozen dataclass: its fields are its configuration.
    """

    @property
    def d_x(self) -> int:
        """Width of an input."""
        ...

    @property
    def d_y(self) -> int:
        """Width of an output, and of a prediction."""
        ...

    @property
    def scale(self) -> float:
        """Loss of the plainest predictor without a context (the mean of y, a uniform guess over the
        answers there are); losses divided by it can be compared across tasks.
        """
        ...

    def sample_params(self, batch: int, *, generator: Generator) -> Float[Tensor, "batch d_params"]:
        """Draw functions."""
        ...

    def sample_inputs(
        self, params: Float[Tensor, "batch d_params"], shots: int, *, generator: Generator
    ) -> Float[Tensor, "batch shot d_x"]:
        """Draw inputs of the functions, which may have domains."""
        ...

    def apply(
        self, params: Float[Tensor, "batch d_params"], x: Float[Tensor, "batch shot d_x"]
    ) -> Float[Tensor, "batch shot d_y"]:
        """The functions' clean outputs."""
        ...

    def corrupt(
        self, y: Float[Tensor, "batch shot d_y"], *, generator: Generator
    ) -> Float[Tensor, "batch shot d_y"]:
        """The outputs as a context shows them: with the task's label noise, if it has any."""
        ...

    def loss(
        self,
        prediction: Float[Tensor, "*batch d_y"],
        target: Float[Tensor, "*batch d_y"],
    ) -> Float[Tensor, "*batch"]:
        """What training minimises, for each prediction by itself."""
        ...

    def error(
        self,
        prediction: Float[Tensor, "*batch d_y"],
        target: Float[Tensor, "*batch d_y"],
    ) -> Float[Tensor, "*batch"]:
        """What analyses report, for each prediction by itself: 0 is right, and about 1 is knowing
        nothing.
        """
        ...

    def oracle(
        self,
        x: Float[Tensor, "batch shot d_x"],
        y: Float[Tensor, "batch shot d_y"],
        query: Float[Tensor, "batch query d_x"],
    ) -> Float[Tensor, "batch query d_y"]:
        """The best prediction for `query` from the examples (x, y), of which there may be none."""
        ...


def sample_episodes(task: Task, batch: int, shots: int, *, generator: Generator) -> Episodes:
    """Draw `batch` functions of the task and `shots` examples of each.

    Everything is created on the generator's device. A context of n examples and its query take
    n + 1 shots.
    """
    params = task.sample_params(batch, generator=generator)
    x = task.sample_inputs(params, shots, generator=generator)
    target = task.apply(params, x)
    return Episodes(x, task.corrupt(target, generator=generator), target, params)


def sample_contexts(
    task: Task, functions: int, contexts: int, shots: int, *, generator: Generator
) -> Episodes:
    """Draw `functions` functions, and `contexts` episodes of each: rows "(function context)".

    Where a task has few functions, some may be drawn twice; episodes with equal `params` then
    belong together.
    """
    params = task.sample_params(functions, generator=generator)
    params = params.repeat_interleave(contexts, dim=0)
    x = task.sample_inputs(params, shots, generator=generator)
    target = task.apply(params, x)
    return Episodes(x, task.corrupt(target, generator=generator), target, params)


def fresh_queries(task: Task, episodes: Episodes, *, generator: Generator) -> Episodes:
    """New examples of the same functions, as many as the episodes have."""
    x = task.sample_inputs(episodes.params, episodes.shots, generator=generator)
    target = task.apply(episodes.params, x)
    return Episodes(x, task.corrupt(target, generator=generator), target, episodes.params)


def relabelled(task: Task, episodes: Episodes, *, generator: Generator) -> Episodes:
    """The same inputs under other functions, one drawn for each episode."""
    params = task.sample_params(episodes.batch, generator=generator)
    target = task.apply(params, episodes.x)
    return Episodes(episodes.x, task.corrupt(target, generator=generator), target, params)


def check_relabelled(episodes: Episodes, corrupted: Episodes) -> None:
    """Raise InputError unless `corrupted` has the episodes' inputs and mostly other functions."""
    if not torch.equal(episodes.x, corrupted.x):
        raise InputError("The corrupted episodes have other inputs; make them with `relabelled`.")
    if (episodes.params == corrupted.params).all(-1).float().mean() > 0.5:
        raise InputError(
            "Most corrupted episodes show the very function that they should not. Was their "
            "generator seeded like that of the episodes?"
        )


def check_same_functions(
    episodes: Episodes, others: Episodes, what: str = "queries", *, shots: bool = False
) -> None:
    """Raise InputError unless others are of the same functions as the episodes, one for one.

    Args:
        what: what the others are called.
        shots: whether they must have as many examples.
    """
    if not torch.equal(episodes.params, others.params):
        raise InputError(
            f"The {what} are of other functions than the episodes; draw both one for one: "
            "fresh_queries(task, episodes, ..) gives queries of the same functions."
        )
    if shots and others.shots != episodes.shots:
        raise InputError(
            f"The {what} have {others.shots} shots and the episodes {episodes.shots}; draw as many "
            "of both."
        )


def oracle_predictions(
    task: Task, episodes: Episodes, queries: Episodes
) -> Float[Tensor, "batch shot d_y"]:
    """The oracle's prediction for query n from the first n examples, for every n."""
    return torch.cat(
        [
            task.oracle(episodes.x[:, :n], episodes.y[:, :n], queries.x[:, n : n + 1])
            for n in range(episodes.shots)
        ],
        dim=1,
    )


def linear_posterior_mean(
    features: Float[Tensor, "batch shot d_features"],
    y: Float[Tensor, "batch shot 1"],
    *,
    mean: Float[Tensor, " d_features"],
    std: Float[Tensor, " d_features"],
    noise: float,
) -> Float[Tensor, "batch d_features"]:
    """Best linear estimate of the coefficients of y = features . coefficients + noise.

    With prior N(mean, diag(std^2)) it is the posterior mean: ridge regression, and the solution
    nearest to the prior mean when the noise is 0.
    """
    # Directions in which the features are only rounded are not seen: examples that lie in a
    # subspace would otherwise say something, at random, about what is outside of it.
    rounding = max(features.shape[1:]) * torch.finfo(features.dtype).eps
    dtype = features.dtype
    features, y, mean, std = features.double(), y.double(), mean.double(), std.double()
    residual = y.squeeze(-1) - features @ mean
    u, s, vh = torch.linalg.svd(features * std, full_matrices=False)
    tolerance = rounding * s.amax(-1, keepdim=True) if s.shape[-1] else 0.0
    gain = torch.where(s > tolerance, s / (s.square() + noise**2), 0.0)
    shift = torch.einsum("bsk,bs,bk,bkd->bd", u, residual, gain, vh)
    return (mean + std * shift).to(dtype)


def cross_entropy(
    prediction: Float[Tensor, "*batch d_y"], target: Float[Tensor, "*batch d_y"]
) -> Float[Tensor, "*batch"]:
    """The loss of a task on symbols, from logits and one-hot vectors, in nats."""
    return -(prediction.log_softmax(-1) * target).sum(-1)


def is_wrong(
    prediction: Float[Tensor, "*batch d_y"], target: Float[Tensor, "*batch d_y"]
) -> Float[Tensor, "*batch"]:
    """The error of a task on symbols: 1 where the most likely one is wrong, else 0."""
    return (prediction.argmax(-1) != target.argmax(-1)).to(prediction.dtype)


def add_gaussian_noise(
    y: Float[Tensor, "batch shot d_y"], std: float, *, generator: Generator
) -> Float[Tensor, "batch shot d_y"]:
    """Noisy labels; without noise the same tensor, and nothing is drawn."""
    if std == 0:
        return y
    return y + std * torch.randn(y.shape, generator=generator, device=y.device)
