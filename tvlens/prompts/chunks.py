"""Work on many episodes a few at a time, so that memory does not grow with their number."""

from collections.abc import Iterator

from tvlens.prompts import Episodes

TOKENS_AT_ONCE = {"cpu": 2**13, "cuda": 2**18}
"""How many tokens run together: what suits a core's cache, and what keeps a GPU busy."""


def chunks(episodes: Episodes, tokens: int) -> Iterator[slice]:
    """Rows of episodes that run together.

    Args:
        tokens: that an episode needs, in all its prompts.
    """
    together = TOKENS_AT_ONCE.get(episodes.x.device.type, TOKENS_AT_ONCE["cuda"])
    size = max(1, together // tokens)
    for start in range(0, episodes.batch, size):
        yield slice(start, start + size)
