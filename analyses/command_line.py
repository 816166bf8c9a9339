"""What all scripts share: how arguments are parsed, how errors end, how they are interrupted."""

import io
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import is_dataclass, replace
from typing import Annotated, TypeVar

import tyro
from typing_extensions import is_protocol

from tvlens import DivergenceError, Format, InputError
from tvlens.base.errors import did_you_mean
from tvlens.base.progress import no_progress
from tvlens.prompts import FORMATS, ColumnFormat, TokenFormat

Config = TypeVar("Config")
Quiet = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(aliases=["-q"])]


def parse(config: type[Config], default: Config, description: str | None = None) -> Config:
    """The configuration that the command line asks for."""
    return tyro.cli(
        tyro.conf.AvoidSubcommands[tyro.conf.EnumChoicesFromValues[config]],
        default=default,
        description=description,
        registry=_registry(),
    )


@contextmanager
def plain_errors() -> Iterator[None]:
    """End with one line and exit code 2, not a traceback, where the user can mend the cause."""
    try:
        yield
    except (InputError, DivergenceError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


@contextmanager
def quietly(quiet: bool) -> Iterator[None]:
    """Within it nothing is printed but errors, if `quiet`."""
    if not quiet:
        yield
        return
    with redirect_stdout(io.StringIO()), no_progress():
        yield


class Interruption:
    """Whether Ctrl-C or SIGTERM came; the second Ctrl-C ends the program at once."""

    def __init__(self) -> None:
        """Listen from now on."""
        self.came = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True


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
