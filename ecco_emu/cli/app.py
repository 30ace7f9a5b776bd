"""The parts that all verbs share: the application, its two consoles, options that several verbs have."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text
from typer.core import TyperGroup
from typer.models import CommandInfo

import ecco_emu
from ecco_emu.cli import failures
from ecco_emu.cli.streams import err, out
from ecco_emu.core import units

__all__ = ["err", "out"]  # beside this module's own names: verbs take all that they share from here

# typer has a copy of click of its own or not, by its release
_Usage: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


class Verbs(TyperGroup):
    """Ends a verb that fails with one line and the right code, before typer ends some of them with code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (_Usage, typer.Exit, typer.Abort, SystemExit):  # ends that typer carries out
            raise
        except BaseException as error:
            raise typer.Exit(failures.report(error)) from None


app = typer.Typer(
    cls=Verbs,
    help="Emulate a continuous-learning video-analytics system on this host, with real Linux networking.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ScenarioPath = Annotated[
    Path, typer.Argument(help="A scenario file (YAML), or a shipped one's name.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON on standard output.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value by its dotted path. Repeatable."),
]

Seed = Annotated[int | None, typer.Option(help="Instead of the scenario's seed.")]
Dilation = Annotated[str | None, typer.Option(metavar="auto|N", help="Wall seconds per emulated second.")]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine", metavar="auto|kernel|relay|simulated", help="How links are made; simulated: no root."
    ),
]
PolicyName = Annotated[str | None, typer.Option(help="Instead of the scenario's policy.")]


def verb_of(command: CommandInfo) -> str:
    """The verb by which a command is called: the name it was given, or its function's."""
    return command.name or str(getattr(command.callback, "__name__", ""))


def version(wanted: bool) -> None:
    """The callback of ``--version``, which ends the program."""
    if wanted:
        out.print(f"ecco-emu {ecco_emu.__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass  # typer takes the whole program's options from a callback; ``version`` does the work


def answer(value: object) -> None:
    """A verb's answer to ``--json``: one JSON document, alone on standard output. Words go to standard error.

    Takes plain data, dataclasses and paths. A figure that is not finite becomes null, which JSON can say. All
    is ASCII, so that no encoding of a terminal or pipe can spoil it.
    """
    print(json.dumps(msgspec.json.decode(msgspec.json.encode(value, enc_hook=str))))


def time(text: str | float) -> float:
    """Seconds of an option such as ``--at 12s``: to be given to typer as its ``parser``."""
    try:
        return units.parse_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def show_warnings(warnings: Iterable[object]) -> None:
    """Each on a line of its own, on standard error, where they do not mix with answers."""
    for warning in warnings:
        err.print(Text.assemble(("warning:", "bold yellow"), " ", str(warning)), soft_wrap=True)


def figure(value: float | None) -> str:
    """A figure for a table; a dash stands for one that was not measured."""
    return "–" if value is None else f"{value:.2f}"


def kbit(value: float | None) -> str:
    """A rate given in bit/s, in kbit/s."""
    return "–" if value is None else f"{value / 1e3:.0f} kbit"
