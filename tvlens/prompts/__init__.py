"""How examples become prompts, and where each of their tokens stands."""

from tvlens.prompts.column_formats import (
    COLUMN_FORMATS,
    INSEPARABLE,
    PAIRWISE,
    SINGLE,
    TRIPLET,
    ColumnFormat,
    check_one_width,
)
from tvlens.prompts.episodes import Episodes
from tvlens.prompts.format import Format, carrier_of, check_role
from tvlens.prompts.prompt import (
    AlignedPrompt,
    Answers,
    OutputAnswers,
    Places,
    PositionIds,
    Prompt,
    RaggedPrompt,
    Role,
    aligned,
)
from tvlens.prompts.text_formats import Template, TextFormat, Tokenizer
from tvlens.prompts.token_formats import ARROW, TOKEN_FORMATS, XY, XYZ, ZXY, TokenFormat

FORMATS = (*TOKEN_FORMATS, *COLUMN_FORMATS)
"""The formats that come with tvlens and need no tokenizer, for command lines."""

__all__ = [
    "ARROW",
    "COLUMN_FORMATS",
    "FORMATS",
    "INSEPARABLE",
    "PAIRWISE",
    "SINGLE",
    "TOKEN_FORMATS",
    "TRIPLET",
    "XY",
    "XYZ",
    "ZXY",
    "AlignedPrompt",
    "Answers",
    "ColumnFormat",
    "Episodes",
    "Format",
    "OutputAnswers",
    "Places",
    "PositionIds",
    "Prompt",
    "RaggedPrompt",
    "Role",
    "Template",
    "TextFormat",
    "TokenFormat",
    "Tokenizer",
    "aligned",
    "carrier_of",
    "check_one_width",
    "check_role",
]
