"""Relations between English words that come with tvlens."""

from dataclasses import dataclass
from pathlib import Path

from tvlens.base.errors import InputError, did_you_mean
from tvlens.base.files import read_json
from tvlens.tasks.symbol_maps import Direction
from tvlens.tasks.word_relation import WordRelation

FOLDER = Path(__file__).parent / "words"
FORWARD = (Direction.FORWARD,)
ONE_WAY = (Direction.FORWARD, Direction.INVERSE)
EVERY = (Direction.FORWARD, Direction.INVERSE, Direction.BOTH)


@dataclass(frozen=True)
class WordList:
    """What is known of the pairs in a file."""

    name: str
    """The name of the relation, and of its file in `words/`."""
    description: str
    """What x and y are."""
    directions: tuple[Direction, ...] = EVERY
    """The ways in which it is a function."""
    involution: bool = False
    """Whether y is to x what x is to y; each pair is then listed once."""
    source: str = "hand-written"
    """Where the pairs are from."""

    @property
    def one_to_one(self) -> bool:
        """Whether no two x have the same y."""
        return Direction.INVERSE in self.directions


WORD_LISTS = (
    WordList("antonym", "A word and its opposite.", involution=True),
    WordList("comparative", "An adjective and its comparative."),
    WordList("country-capital", "A country and its capital, without accents."),
    WordList("country-language", "A country and its main language.", FORWARD),
    WordList("element-symbol", "A chemical element and its symbol."),
    WordList("english-french", "An English word and the French one."),
    WordList("english-german", "An English word and the German one; nouns are capitalised."),
    WordList("english-italian", "An English word and the Italian one."),
    WordList("english-spanish", "An English word and the Spanish one."),
    WordList("first-letter", "A word and its first letter.", FORWARD),
    WordList("lower-capitalised", "A name in lower case and with a capital."),
    WordList("lower-upper", "A word in lower and in upper case."),
    WordList("male-female", "A male person or animal and the female one."),
    WordList("next-letter", "A letter and the next, in lower and in upper case.", ONE_WAY),
    WordList("next-numeral", "A number in words and the next.", ONE_WAY),
    WordList("numeral-digits", "A number in words and in digits."),
    WordList("present-gerund", "A verb and its form in -ing."),
    WordList("present-past", "A verb and its past tense."),
    WordList("present-third-person", "A verb and its form for he, she and it."),
    WordList("singular-plural", "A noun and its plural."),
    WordList("superlative", "An adjective and its superlative."),
)
"""The relations, by name."""


def list_relations() -> list[str]:
    """Names of the relations between words that come with tvlens; `WORD_LISTS` says more."""
    return [each.name for each in WORD_LISTS]


def load_relation(name: str, direction: Direction = Direction.FORWARD) -> WordRelation:
    """Load a relation between words that comes with tvlens.

    Raises:
        InputError: there is none of this name, or it is no function in this direction.
    """
    names = list_relations()
    if name not in names:
        raise InputError(f"There is no relation {name!r}.{did_you_mean(name, names)}")
    pairs = read_json(FOLDER / f"{name}.json")
    return WordRelation(name, tuple((each["input"], each["output"]) for each in pairs), direction)
