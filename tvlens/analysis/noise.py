"""How much noise in the labels of its context does a model bear?"""

from collections.abc import Sequence

from torch import Generator
from transformer_lens import HookedRootModule

from tvlens.analysis.shared.needs import CARRIER, LAYER, ONE_MODEL, asks
from tvlens.analysis.shared.shifted_errors import shifted_errors
from tvlens.prompts import Episodes, Format, PositionIds
from tvlens.results import NoiseCurves
from tvlens.results.noise_curves import CLEAN, CORRUPTED
from tvlens.shifts import CorruptedExample, Noise, Standard, Trial, noise_grid
from tvlens.shifts.noise import LABEL_NOISE_LEVELS, OUTLIER_LEVELS
from tvlens.subjects import Subject
from tvlens.tasks import Task


@asks(ONE_MODEL, CARRIER, LAYER)
def noise(
    subject: Subject,
    *,
    label_noise: tuple[float, ...] = LABEL_NOISE_LEVELS,
    replaced: tuple[float, ...] = OUTLIER_LEVELS,
    position_ids: PositionIds | None = None,
) -> NoiseCurves:
    """Errors against the level of noise, and against the position of a single wrong label.

    The last example of each episode is asked after all others; the task vector is read before it
    and asked another one. Targets stay clean.

    Args:
        subject: the model that is asked.
        label_noise: standard deviations in units of sqrt(Var(y) / d), for tasks whose labels are
            numbers.
        replaced: shares of labels that are outliers, or for symbols flipped.
        position_ids: those of the zero-shot prompts; the format's own if None.
    """
    trial = Trial.of(subject.episodes, subject.queries)
    return measure_noise(
        subject.model,
        subject.task,
        subject.format,
        subject.episodes,
        subject.queries,
        layer=subject.layer,
        generator=subject.generator(),
        noises=noise_grid(subject.task, trial, label_noise, replaced),
        position_ids=position_ids,
    )


def measure_noise(
    model: HookedRootModule,
    task: Task,
    format: Format,
    episodes: Episodes,
    queries: Episodes,
    *,
    layer: int,
    generator: Generator,
    noises: Sequence[Noise] | None = None,
    position_ids: PositionIds | None = None,
) -> NoiseCurves:
    """The same, of plain data.

    Args:
        model: what is asked.
        task: gives errors and the oracle.
        format: how examples become tokens.
        episodes: the contexts, and what is asked after them.
        queries: other examples of the same functions (`fresh_queries`).
        layer: where the carrier's vector is read and written.
        generator: draws the noise; models that are to be compared need one in the same state.
        noises: kinds and levels; those of `tvlens.shifts.noise_grid` if None.
        position_ids: those of the zero-shot prompts.

    Raises:
        InputError: before anything is computed, if the task cannot have such noise.
    """
    trial = Trial.of(episodes, queries)
    grid = noise_grid(task, trial) if noises is None else tuple(noises)
    corrupted = [CorruptedExample(position) for position in range(1, trial.examples + 1)]
    errors = shifted_errors(
        model,
        task,
        format,
        trial,
        [Standard(), *grid, *corrupted],
        layer=layer,
        generator=generator,
        position_ids=position_ids,
    )
    kinds = [CLEAN, *(each.kind for each in grid), *(CORRUPTED for _ in corrupted)]
    levels = [0.0, *(each.level for each in grid), *(float(each.position) for each in corrupted)]
    units = ["", *(each.unit for each in grid), *("position" for _ in corrupted)]
    coords = {"kind": kinds, "level": levels, "unit": units}
    return NoiseCurves(errors.assign_coords({n: ("shift", v) for n, v in coords.items()}))
