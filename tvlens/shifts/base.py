"""What a shift is: a change between training and test, made to contexts, queries or functions.

A shift is a pure function of a trial and a generator. It never changes the tensors that it is
given, and predictions are always scored against what the function says at the shifted query.
"""

import dataclasses
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Generator, Tensor

from tvlens.base.errors import InputError
from tvlens.prompts import Episodes
from tvlens.tasks import Task, check_same_functions


@dataclass(frozen=True)
class Trial:
    """Contexts, and what is asked about the same functions.

    The first query ends the prompt of the context. The second, where there is one, is asked with
    the task vector of the context: in some formats the vector has seen the first.
    """

    context: Episodes
    """The examples that a model is shown."""
    queries: Episodes
    """The examples that it is asked, each by itself."""

    @classmethod
    def of(cls, episodes: Episodes, queries: Episodes) -> "Trial":
        """Ask the last example of the episodes after all others, and the last of `queries` too.

        Args:
            episodes: contexts of `shots` - 1 examples, and the example asked after them.
            queries: other examples of the same functions (`fresh_queries`).

        Raises:
            InputError: there is no context, or the functions are not the same.
        """
        if episodes.shots < 2:
            raise InputError("A context needs an example before the query; draw 2 shots or more.")
        check_same_functions(episodes, queries)
        last = slice(-1, None)
        asked = episodes.some_shots(last).then(queries.some_shots(last))
        return cls(episodes.some_shots(slice(-1)), asked)

    @property
    def examples(self) -> int:
        """Examples in each context."""
        return self.context.shots

    def __getitem__(self, rows: slice) -> "Trial":
        """Some of the episodes."""
        return Trial(self.context[rows], self.queries[rows])

    def asking(self, query: int) -> Episodes:
        """The contexts followed by one of the queries."""
        return self.context.then(self.queries.some_shots(slice(query, query + 1)))

    def selecting(self, order: Tensor) -> "Trial":
        """The same queries after some of the examples of the context, in some order.

        Args:
            order: which examples each context shows, "batch example" or the same for all.
        """
        index = order.expand(self.context.batch, -1)[..., None]
        fields = ("x", "y", "target")
        chosen = {name: getattr(self.context, name).take_along_dim(index, 1) for name in fields}
        return Trial(dataclasses.replace(self.context, **chosen), self.queries)

    def showing(self, y: Float[Tensor, "batch shot d_y"]) -> "Trial":
        """The same trial with other labels in the context; the targets stay what they are."""
        return Trial(dataclasses.replace(self.context, y=y), self.queries)

    def redrawn(
        self,
        task: Task,
        *,
        context_x: Float[Tensor, "batch shot d_x"] | None = None,
        query_x: Float[Tensor, "batch query d_x"] | None = None,
        params: Float[Tensor, "batch d_params"] | None = None,
        generator: Generator,
    ) -> "Trial":
        """The trial with other inputs or functions: targets and labels follow from the task.

        Args:
            context_x: of the context; unchanged if None.
            query_x: of the queries; unchanged if None.
            params: the functions; unchanged if None.
            generator: of the label noise, if the task has any.
        """

        def changed(old: Episodes, x: Tensor | None) -> Episodes:
            if x is None and params is None:
                return old
            inputs, functions = old.x if x is None else x, old.params if params is None else params
            target = task.apply(functions, inputs)
            return Episodes(inputs, task.corrupt(target, generator=generator), target, functions)

        return Trial(changed(self.context, context_x), changed(self.queries, query_x))


@runtime_checkable
class Shift(Protocol):
    """A change between training and test.

    An implementation is a frozen dataclass that derives from this class; its fields are its
    parameters. `apply` is all that it must have.
    """

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return repr(self)

    def check(self, task: Task, trial: Trial) -> None:
        """Raise InputError where the shift means nothing for this task or trial."""

    def aware(self, task: Task) -> Task | None:
        """The task whose oracle is the best predictor under the shift.

        The task itself, unless labels or functions come from another distribution; None if no
        task's oracle is. An oracle always knows the inputs that it is given.
        """
        return task

    def apply(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """The shifted trial of a task that the shift fits."""
        ...

    def __call__(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """The shifted trial.

        Raises:
            InputError: the task cannot be shifted like this; says which can.
        """
        self.check(task, trial)
        return self.apply(task, trial, generator=generator)


@dataclass(frozen=True)
class Standard(Shift):
    """No shift: what others are compared with."""

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return "standard"

    def apply(self, task: Task, trial: Trial, *, generator: Generator) -> Trial:
        """The same trial."""
        return trial


def require_numbers(shift: Shift, task: Task, values: Tensor, what: str) -> None:
    """Raise InputError where x or y are symbols and the shift needs numbers."""
    if are_symbols(values):
        raise InputError(
            f"{shift.name!r} needs {what} of real numbers, but those of {type(task).__name__} are "
            "one-hot symbols. LinearRegression, Sinusoid and regressions of your own can take it."
        )


def as_fraction(factor: float) -> str:
    """A factor as people write it: 1/3 and not 0.333."""
    fraction = Fraction(factor).limit_denominator(20)
    return str(fraction) if abs(float(fraction) - factor) < 1e-9 else f"{factor:g}"


def are_symbols(values: Float[Tensor, "batch shot d"]) -> bool:
    """Whether vectors are one-hot symbols."""
    binary = (values == 0) | (values == 1)
    return values.shape[-1] > 1 and bool((binary.all(-1) & (values.sum(-1) == 1)).all())
