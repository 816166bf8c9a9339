"""The task vectors of many contexts of each of some functions."""

import numpy as np
import xarray as xr
from jaxtyping import Int

from tvlens.base.errors import InputError
from tvlens.results.base import Result


class TaskVectors(Result):
    """What the carrier holds at every layer, with all that is known of each context.

    Variables:

    - `vectors` (episode, layer, examples, component): the residual stream at the carrier after a
      number of examples.
    - `params` (episode, param): what defines the function of an episode.
    - `x` (episode, examples, d_x), `y` (episode, examples, d_y): the example that the carrier of
      this context length stands before: after n examples, example n + 1. In a format whose carrier
      has seen its query, `x` is that query.
    - `targets` (episode, target): what a linear probe looks for, by name.
    - `best_estimates` (episode, examples, target): how well the context lets one know the targets:
      the best estimate of them; absent where the task does not tell.

    The coordinate `period` (param) says after how much a param means the same again; nan for never.
    The coordinate `function` (episode) numbers the functions: episodes with equal `params` are
    contexts of one function.

    Attributes: `carrier` (role), `format`, `task`, `carrier_sees_query` (0 or 1).
    """

    @property
    def functions(self) -> Int[np.ndarray, " episode"]:
        """Which function each episode is a context of."""
        return self.data["function"].values

    def check_contexts(self, functions: int = 2, contexts: int = 2) -> None:
        """Raise InputError unless there are enough functions, and contexts of each."""
        _, counts = np.unique(self.functions, return_counts=True)
        if len(counts) < functions or counts.min() < contexts:
            raise InputError(
                f"Expected at least {functions} functions with at least {contexts} contexts each, "
                f"got {len(counts)} with {counts.min()} at least. Draw them with "
                f"sample_contexts(task, functions=.., contexts=.., ..)."
            )

    def check_layer(self, layer: int) -> None:
        """Raise InputError unless there are vectors of a layer."""
        layers = self.data.layer.values
        if layer not in layers:
            raise InputError(
                f"Layer {layer} is out of range: these vectors are of residual boundaries "
                f"{layers[0]}..{layers[-1]}."
            )

    def after(self, examples: int | None = None) -> xr.DataArray:
        """Vectors (episode, layer, component) after a number of examples; the longest if None.

        Raises:
            InputError: there are none of that length.
        """
        lengths = self.data.examples.values.tolist()
        chosen = lengths[-1] if examples is None else examples
        if chosen not in lengths:
            raise InputError(
                f"There are no vectors of {chosen} examples, only of {lengths[0]} to {lengths[-1]}."
            )
        return self.data.vectors.sel(examples=chosen)
