"""How arguments are read: every field of a frozen dataclass is an option."""

from collections.abc import Sequence
from dataclasses import is_dataclass, replace
from typing import Annotated, TypeVar

import tyro
from typing_extensions import is_protocol

from tvlens.base.errors import did_you_mean
from tvlens.prompts import FORMATS, ColumnFormat, Format, TokenFormat

Config = TypeVar("Config")
Models = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL ...]")]
Kinds = Annotated[
    tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="FILE.py:CLASS")
]
Quiet = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(aliases=["-q"])]


def parse(
    program: str, arguments: Sequence[str], default: Config, description: str | None = None
) -> Config:
    """The configuration that the arguments ask for.

    Args:
        program: what is typed before the arguments.
        arguments: what the user asks for.
        default: where they start from; its type says which options there are.
        description: what --help begins with.
    """
    kind: type[Config] = type(default)
    return tyro.cli(
        tyro.conf.AvoidSubcommands[tyro.conf.EnumChoicesFromValues[kind]],
        prog=program,
        args=arguments,
        default=default,
        description=description,
        registry=_registry(),
    )


def _registry() -> tyro.constructors.ConstructorRegistry:
    """Prompt formats are named on the command line, not spelled out; and where a protocol stands
    for several classes, such as `ModelConfig`, the options are those of the default's class.
    """
    registry = tyro.constructors.ConstructorRegistry()

    @registry.struct_rule
    def as_its_default(
        info: tyro.constructors.StructTypeInfo,
    ) -> tyro.constructors.StructConstructorSpec | None:
        if not is_protocol(info.type) or not is_dataclass(info.default):
            return None
        found = registry.get_struct_spec(replace(info, type=type(info.default)))
        return found if isinstance(found, tyro.constructors.StructConstructorSpec) else None

    @registry.primitive_rule
    def format_by_name(
        info: tyro.constructors.PrimitiveTypeInfo,
    ) -> tyro.constructors.PrimitiveConstructorSpec | None:
        if info.type not in (Format, TokenFormat, ColumnFormat):
            return None
        names = [each.name for each in FORMATS]
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="{" + ",".join(names) + "}",
            instance_from_str=lambda args: _format_named(args[0]),
            is_instance=lambda value: isinstance(value, info.type),
            str_from_instance=lambda value: [value.name],
        )

    return registry


def _format_named(name: str) -> Format:
    for each in FORMATS:
        if each.name == name:
            return each
    raise ValueError(f"unknown format {name!r}.{did_you_mean(name, [f.name for f in FORMATS])}")
