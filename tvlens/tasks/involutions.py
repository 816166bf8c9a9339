"""Maps of symbols both ways, f(f(x)) = x, from pairs of your own."""

from collections.abc import Iterable, Sequence

from tvlens.base.errors import InputError


def bijection_of(pairs: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    """The images of symbols 0, 1, .. under the map that swaps the symbols of each pair.

    Raises:
        InputError: the pairs are not of all symbols from 0 on, each in one pair; see
            `check_bijection`.
    """
    pairs = list(pairs)
    symbols = [symbol for pair in pairs for symbol in pair]
    if sorted(symbols) != list(range(len(symbols))):
        raise InputError(
            f"{len(pairs)} pairs are of the symbols 0 to {2 * len(pairs) - 1}, each in one pair; "
            f"got {pairs}."
        )
    images = dict(pairs) | {y: x for x, y in pairs}
    return tuple(images[symbol] for symbol in range(len(symbols)))


def check_bijection(images: Sequence[int]) -> None:
    """Raise InputError unless this maps all symbols both ways: an involution without fixed points.

    Args:
        images: of the symbols 0, 1, ..
    """
    symbols = range(len(images))
    if outside := [image for image in images if image not in symbols]:
        raise InputError(f"{outside[0]} is none of the {len(images)} symbols that are mapped.")
    for x, y in enumerate(images):
        if (first := images.index(y)) != x:
            raise InputError(f"Symbols {first} and {x} both go to {y}; this is no bijection.")
    for x, y in enumerate(images):
        if x == y:
            raise InputError(f"Symbol {x} goes to itself; a map both ways has no fixed point.")
        if images[y] != x:
            raise InputError(
                f"Symbol {x} goes to {y}, and that to {images[y]} instead of back; give pairs to "
                "`bijection_of`."
            )
