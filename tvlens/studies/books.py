"""The two stories of arXiv 2506.09048: of linear transformers, and of the limits of one vector."""

from tvlens.studies.book import Book
from tvlens.studies.chapters import (
    demonstrations,
    dropout,
    flow,
    formats,
    landscape,
    ranks,
    several,
    symbols,
    weights,
    words,
    worth,
)

LINEAR_THEORY = Book(
    "linear_theory",
    "What does theory say of linear transformers, and do trained ones agree?",
    "Linear transformers trained from several seeds beside the weights and risks that theory "
    "gives them (arXiv 2506.09048). Intervals are 95% over seeds and episodes; of weights, the "
    "smallest and the largest seed. R is the squared error for each coordinate of y: 4 is knowing "
    "nothing.",
    tuple(each.told for each in (weights, landscape, formats, dropout, demonstrations)),
)
"""What is proven of linear transformers, on trained ones."""
TASK_VECTOR_LIMITS = Book(
    "task_vector_limits",
    "What can one task vector not do?",
    "A vector of a linear transformer acts as one example that is a mixture of the examples shown "
    "(arXiv 2506.09048). Then it can hold a map of rank one and no more, and several are better "
    "than one. Intervals are 95%, over seeds and episodes for linear transformers, over functions "
    "for softmax models, which are one training each.",
    tuple(each.told for each in (worth, ranks, symbols, several, flow, words)),
)
"""What one task vector can not do, and several can."""
BOOKS = {each.name: each for each in (LINEAR_THEORY, TASK_VECTOR_LIMITS)}
"""All stories by name."""
