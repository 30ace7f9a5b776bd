"""``ecco-emu pretrain``: the student that cameras start with."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ecco_emu.cli.app import Json, answer, app, err, figure, out


@app.command()
def pretrain(
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Where the student goes; by default profiles/students.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the towns, the views and the training.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of 16 pictures.")] = 2400,
    scenes: Annotated[int, typer.Option(min=1, help="Pictures rendered, all of clear days.")] = 2800,
    minutes: Annotated[float | None, typer.Option(help="End the training after this long.")] = None,
    as_json: Json = False,
) -> None:
    """Train the student that cameras start with: YOLO11n, on clear days in the rendered town."""
    from ecco_emu.host import extras
    from ecco_emu.scenario.profiles import students_dir

    extras.YOLO.require()
    from ecco_emu.trainer.yolo.pretrain import pretrain as train

    target = out_dir or students_dir()
    with err.status("rendering and training") as status:
        provenance = asyncio.run(
            train(target, seed=seed, steps=steps, scenes=scenes, minutes=minutes, progress=status.update)
        )
    if as_json:
        answer(provenance)
        return
    table = Table(title=f"{target}: {provenance.steps} steps", title_justify="left")
    for heading in ("weather", "mAP", "mAP50"):
        table.add_column(heading)
    for weather, accuracy in provenance.map.items():
        table.add_row(weather, figure(accuracy), figure(provenance.map50[weather]))
    out.print(table)
