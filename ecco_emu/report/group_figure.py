"""The picture of groups: which camera was in which retraining job when, with the reasons for each change."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.parts import CameraMetrics, JobMetrics, Membership, StayEnd
from ecco_emu.report import axes, palette

_ABOVE = -0.36
"""Of a camera's row: where marks of what the camera saw and asked stand. Rows are 1 apart, downwards."""
_BAR, _STRIP = 0.42, 0.14

Mark = tuple[float, float, str]
"""Time, place on the axis of rows, hover text."""

ENDS: dict[StayEnd, tuple[str, str, str]] = {
    "drop": ("split off: its accuracy fell", "x", palette.BAD),
    "asked again": ("leaves: it asks again", "triangle-left", palette.BAD),
    "no better": ("leaves: the group's model is no better", "square", palette.LATE),
    "released": ("released", "circle", palette.GOOD),
    "gone": ("the camera is gone", "cross", palette.INK),
    "another job": ("moves to another job", "triangle-left-open", palette.INK),
}
"""By the reason for a stay's end: its name in the legend, its mark, the mark's colour."""


def groups(metrics: RunMetrics) -> axes.PlotlyFigure:
    """A row per camera: its stays in groups, the weather below, drifts and requests above."""
    rows = {camera: row for row, camera in enumerate(metrics.cameras)}
    colours = palette.assign(metrics.jobs, palette.JOBS)
    bars = [_stay_bars(job, rows, colours[job.id], metrics.t) for job in metrics.jobs.values() if job.stays]
    layout = axes.layout(
        130 + 54 * max(len(rows), 1), x=axes.time_axis(metrics), y=axes.rows_axis(list(rows))
    )
    layout["margin"] |= {"t": 84}  # the legend names jobs, weathers and marks: three lines
    layout |= {
        "barmode": "overlay",
        "shapes": axes.window_bands(metrics),
        "uniformtext": {"minsize": 9, "mode": "hide"},
    }
    marks = [trace for trace in _all_marks(metrics, rows) if trace["x"]]
    return {"data": bars + _weather_bars(metrics, rows) + marks, "layout": layout}


def _stay_bars(job: JobMetrics, rows: dict[str, int], colour: str, now: float) -> dict[str, Any]:
    spans = []
    for stay in job.stays:
        end = now if stay.end is None else stay.end
        text = f"{escape(stay.camera)} in {escape(job.id)}, {stay.start:.1f} to {end:.1f} s"
        spans.append((stay.start, end, rows[stay.camera], text))
    return axes.bars(job.id, colour, _BAR, spans) | {
        "text": [escape(job.id)] * len(spans),
        "customdata": [text for *_, text in spans],
        "hovertemplate": "%{customdata}<extra></extra>",
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "textfont": {"color": "#ffffff"},
    }


def _weather_bars(metrics: RunMetrics, rows: dict[str, int]) -> list[dict[str, Any]]:
    spans: dict[str, list[tuple[float, float, int, str]]] = {}
    for camera in metrics.cameras.values():
        ends = [condition.t for condition in camera.conditions[1:]] + [max(metrics.t, 0.0)]
        # not strict: a camera without conditions has an end all the same, which then goes unused
        for condition, end in zip(camera.conditions, ends, strict=False):
            text = f"{escape(camera.id)} sees {escape(condition.weather)}, {condition.t:.1f} to {end:.1f} s"
            spans.setdefault(condition.weather, []).append((condition.t, end, rows[camera.id], text))
    return [
        axes.bars(f"weather: {name}", palette.weather(name), _STRIP, rest) | {"offset": 0.26}
        for name, rest in spans.items()
    ]


def _all_marks(metrics: RunMetrics, rows: dict[str, int]) -> Iterator[dict[str, Any]]:
    cameras = list(metrics.cameras.values())

    def above(camera: CameraMetrics, t: float, text: str) -> Mark:
        return t, rows[camera.id] + _ABOVE, f"{escape(camera.id)}: {escape(text)} at {t:.1f} s"

    drifts = [above(c, x.t, f"turns to {x.weather}") for c in cameras for x in c.weather_changes]
    noticed = [above(c, x.t, f"drift noticed ({x.detector})") for c in cameras for x in c.drifts]
    waits = [above(c, x.t, "its request waits") for c in cameras for x in c.deferred]
    refused = [above(c, x.t, f"request refused ({x.reason})") for c in cameras for x in c.refused]
    yield _marks("weather changes", "triangle-down", palette.INK, drifts, size=11)
    yield _marks("drift noticed, asks", "diamond", palette.BAD, noticed)
    yield _marks("request waits", "hourglass", palette.LATE, waits)
    yield _marks("request refused", "circle-x", palette.BAD, refused)
    stays = [stay for job in metrics.jobs.values() for stay in job.stays]
    begins = {id(job.stays[0]) for job in metrics.jobs.values() if job.stays}
    founded = [_edge(stay, stay.start, rows, "founds") for stay in stays if id(stay) in begins]
    joined = [_edge(stay, stay.start, rows, "joins") for stay in stays if id(stay) not in begins]
    yield _marks("founds a job", "star", palette.INK, founded, size=11)
    yield _marks("joins", "triangle-right", palette.INK, joined)
    for reason, (name, symbol, colour) in ENDS.items():
        ended = [
            _edge(stay, stay.end, rows, "ends in", f": {name}")
            for stay in stays
            if stay.end is not None and stay.ended_by == reason
        ]
        yield _marks(name, symbol, colour, ended)


def _edge(stay: Membership, t: float, rows: dict[str, int], verb: str, why: str = "") -> Mark:
    text = f"{escape(stay.camera)} {verb} {escape(stay.job)}{why}, at {t:.1f} s"
    return t, float(rows[stay.camera]), text


def _marks(name: str, symbol: str, colour: str, marks: list[Mark], size: int = 9) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [t for t, _, _ in marks],
        "y": [place for _, place, _ in marks],
        "text": [text for *_, text in marks],
        "cliponaxis": False,
        "marker": {"symbol": symbol, "size": size, "color": colour, "line": {"width": 1, "color": "#ffffff"}},
        "hovertemplate": "%{text}<extra></extra>",
    }
