"""Task families, one per file."""

from tvlens.tasks.base import (
    Task,
    check_relabelled,
    check_same_functions,
    fresh_queries,
    oracle_predictions,
    relabelled,
    sample_contexts,
    sample_episodes,
)
from tvlens.tasks.bijections import Bijections
from tvlens.tasks.collinear_regression import CollinearRegression
from tvlens.tasks.involutions import bijection_of, check_bijection
from tvlens.tasks.linear_regression import LinearRegression
from tvlens.tasks.matrix_regression import LowRankRegression, MatrixRegression
from tvlens.tasks.orthonormal_items import ItemMap, OrthonormalItems
from tvlens.tasks.parameters import (
    Described,
    Estimated,
    Parameter,
    Probed,
    best_estimates,
    describe_parameters,
    probe_targets,
)
from tvlens.tasks.relations import Relations
from tvlens.tasks.sinusoid import Sinusoid
from tvlens.tasks.symbol_maps import Direction, MapKind, SymbolMaps
from tvlens.tasks.token_offset import OffsetSplit, TokenOffset
from tvlens.tasks.word_lists import WORD_LISTS, WordList, list_relations, load_relation
from tvlens.tasks.word_pairs import LoadedPairs, load_pairs
from tvlens.tasks.word_relation import AnswerKind, WordRelation, kind_of_answer

__all__ = [
    "WORD_LISTS",
    "AnswerKind",
    "Bijections",
    "CollinearRegression",
    "Described",
    "Direction",
    "Estimated",
    "ItemMap",
    "LinearRegression",
    "LoadedPairs",
    "LowRankRegression",
    "MapKind",
    "MatrixRegression",
    "OffsetSplit",
    "OrthonormalItems",
    "Parameter",
    "Probed",
    "Relations",
    "Sinusoid",
    "SymbolMaps",
    "Task",
    "TokenOffset",
    "WordList",
    "WordRelation",
    "best_estimates",
    "bijection_of",
    "check_bijection",
    "check_relabelled",
    "check_same_functions",
    "describe_parameters",
    "fresh_queries",
    "kind_of_answer",
    "list_relations",
    "load_pairs",
    "load_relation",
    "oracle_predictions",
    "probe_targets",
    "relabelled",
    "sample_contexts",
    "sample_episodes",
]
