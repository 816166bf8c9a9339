"""What is proven of linear transformers that learn regression in context.

Formulas of Dong et al. (arXiv 2506.09048) as functions of plain tensors, for models to be compared
with. Unless another is given, x, and the rows of W, are standard normal and y = W x.
"""

from tvlens.theory.causal_arrows import best_arrow_weights, local_arrow_weights
from tvlens.theory.dropout_optimum import (
    ArrowSources,
    DropoutOptimum,
    optimal_dropout_mixing,
    optimal_dropout_risk,
    optimal_pairs_dropout_risk,
)
from tvlens.theory.end_of_sequence import Head, end_of_sequence_heads
from tvlens.theory.live_positions import live_positions
from tvlens.theory.mixing import MixingTerms, mixing_matrix, mixing_terms
from tvlens.theory.quartic import DropoutConstants, Quartic
from tvlens.theory.rank_one import rank_one_swap
from tvlens.theory.risks import dropout_risk, icl_risk, optimal_mixing, optimal_risk
from tvlens.theory.structured_matrices import project_identity, project_precision
from tvlens.theory.structured_positions import (
    StructuredPositions,
    project_exchangeable,
    project_tangent,
    project_task_vectors,
    task_vector_part,
)

__all__ = [
    "ArrowSources",
    "DropoutConstants",
    "DropoutOptimum",
    "Head",
    "MixingTerms",
    "Quartic",
    "StructuredPositions",
    "best_arrow_weights",
    "dropout_risk",
    "end_of_sequence_heads",
    "icl_risk",
    "live_positions",
    "local_arrow_weights",
    "mixing_matrix",
    "mixing_terms",
    "optimal_dropout_mixing",
    "optimal_dropout_risk",
    "optimal_mixing",
    "optimal_pairs_dropout_risk",
    "optimal_risk",
    "project_exchangeable",
    "project_identity",
    "project_precision",
    "project_tangent",
    "project_task_vectors",
    "rank_one_swap",
    "task_vector_part",
]
