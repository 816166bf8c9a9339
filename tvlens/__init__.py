"""Where does a transformer keep the task it has just inferred from its context, and how strongly?

`import tvlens as tvl` gives the nouns and verbs below; `tvlens.analysis` holds the questions and
`tvlens.plots` the figures.
"""

from importlib.metadata import version as _version

from tvlens import analysis, plots
from tvlens.errors import DivergenceError, InputError
from tvlens.experiment import Experiment, TrainConfig
from tvlens.models import HookedTransformer, ModelConfig, Positions
from tvlens.objectives import AllLengths, LastLength, Objective, Query, RandomLengths
from tvlens.optimization import Adam, Muon, Schedule
from tvlens.patching import Site, read, read_all, task_vector_predictions, write, write_all
from tvlens.presets import PRESETS
from tvlens.prompts import (
    ARROW,
    FORMATS,
    XY,
    XYZ,
    ZXY,
    Episodes,
    PositionIds,
    Prompt,
    PromptFormat,
    Role,
)
from tvlens.results import History, ICLCurve, LocalityMap, LocalitySweep
from tvlens.runs import Run, list_pretrained, load_pretrained, load_run, train, train_run
from tvlens.tasks import (
    LinearRegression,
    OffsetSplit,
    Sinusoid,
    Task,
    TokenOffset,
    fresh_queries,
    sample_episodes,
)
from tvlens.training import TrainState, training_steps

__version__ = _version("tvlens")

__all__ = [
    "ARROW",
    "FORMATS",
    "PRESETS",
    "XY",
    "XYZ",
    "ZXY",
    "Adam",
    "AllLengths",
    "DivergenceError",
    "Episodes",
    "Experiment",
    "History",
    "HookedTransformer",
    "ICLCurve",
    "InputError",
    "LastLength",
    "LinearRegression",
    "LocalityMap",
    "LocalitySweep",
    "ModelConfig",
    "Muon",
    "Objective",
    "OffsetSplit",
    "PositionIds",
    "Positions",
    "Prompt",
    "PromptFormat",
    "Query",
    "RandomLengths",
    "Role",
    "Run",
    "Schedule",
    "Sinusoid",
    "Site",
    "Task",
    "TokenOffset",
    "TrainConfig",
    "TrainState",
    "analysis",
    "fresh_queries",
    "list_pretrained",
    "load_pretrained",
    "load_run",
    "plots",
    "read",
    "read_all",
    "sample_episodes",
    "task_vector_predictions",
    "train",
    "train_run",
    "training_steps",
    "write",
    "write_all",
]
