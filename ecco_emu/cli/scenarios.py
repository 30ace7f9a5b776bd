"""Verbs that read a scenario and run nothing: check, plan, world, schema."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ecco_emu.cli.app import (
    Dilation,
    EngineOption,
    Json,
    Overrides,
    PolicyName,
    ScenarioPath,
    Seed,
    answer,
    app,
    out,
    show_warnings,
    time,
)
from ecco_emu.core.errors import ScenarioError
from ecco_emu.host.event_loop import run_until_signalled


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="The new scenario file.")] = Path("scenario.yaml"),
) -> None:
    """Write a commented scenario to begin with."""
    from ecco_emu.scenario import starter

    starter.write(file)
    out.print(f"{file}: next, ecco-emu check {file}", soft_wrap=True)


@app.command()
def check(
    scenarios: Annotated[
        list[Path], typer.Argument(help="Scenario files (YAML), or names.", show_default=False)
    ],
    overrides: Overrides = None,
    seed: Seed = None,
    dilation: Dilation = None,
    policy: PolicyName = None,
    engine: EngineOption = None,
    as_json: Json = False,
) -> None:
    """Check scenarios without running them: every mistake at once, with line and column."""
    from ecco_emu.emulation import checking
    from ecco_emu.scenario.problems import InvalidScenario

    problems = checking.examine(
        scenarios, overrides or (), seed=seed, dilation=dilation, policy=policy, engine=engine
    )
    errors = [problem for problem in problems if problem.severity == "error"]
    if as_json:
        answer(problems)
    else:
        show_warnings(problem for problem in problems if problem.severity == "warning")
        if errors:
            raise InvalidScenario(errors)
        for path in scenarios:
            out.print(f"{path}: ok", soft_wrap=True)
    sys.exit(ScenarioError.exit_code if errors else 0)


@app.command()
def plan(
    scenario: ScenarioPath,
    overrides: Overrides = None,
    dilation: Dilation = None,
    engine: EngineOption = None,
    as_json: Json = False,
) -> None:
    """Show the namespaces, links, addresses and shaping that a run would make. Needs no root."""
    from ecco_emu.emulation.plan import plan as describe

    lines = run_until_signalled(describe(scenario, overrides or (), dilation, engine))
    if as_json:
        answer(lines)
    else:
        for line in lines:
            out.print(line, soft_wrap=True)


@app.command()
def world(
    scenario: ScenarioPath,
    out_dir: Annotated[Path, typer.Option("--out", help="Where the pictures go.")] = Path("."),
    at: Annotated[
        list[float] | None,
        typer.Option(metavar="TIME", parser=time, help="A column at this time, such as 12s. Repeatable."),
    ] = None,
) -> None:
    """Preview a scenario's world: what each camera sees over time, with labels, and a map."""
    from ecco_emu.scenario import loading
    from ecco_emu.world.town.preview import contact_sheet, map_picture

    loaded = loading.load(scenario, files=False).scenario
    duration = loaded.windows.duration_s
    times = at or [duration * i / 5 for i in range(6)]
    out_dir.mkdir(parents=True, exist_ok=True)
    for name, picture in (
        (f"{loaded.name}-views.png", contact_sheet(loaded, times)),
        (f"{loaded.name}-map.png", map_picture(loaded)),
    ):
        (out_dir / name).write_bytes(picture)
        out.print(out_dir / name, soft_wrap=True)


@app.command()
def schema() -> None:
    """Print the scenario's JSON Schema, for editors that complete and check YAML."""
    from ecco_emu.scenario.dump import json_schema

    print(json.dumps(json_schema(), indent=2))
