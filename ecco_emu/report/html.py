"""report.html: one self-contained page about a run, or one that compares several runs.

plotly's script stands in the page, whose content security policy allows no network. Everything that came from
a run is escaped: by jinja2 in the page, by ``figures`` in the pictures.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.rundir import RunDirectory
from ecco_emu.record.summary import finite
from ecco_emu.record.verdict import recorded, told
from ecco_emu.report import axes, figures, gpu_figures, group_figure, palette
from ecco_emu.report import story as words
from ecco_emu.report.comparison import RunComparison, row
from ecco_emu.report.runs import Run, answered, flatten, held, in_time, load


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with its title and with sentences that say how to read it."""

    id: str
    title: str
    caption: str
    figure: axes.PlotlyFigure

    @property
    def json(self) -> Markup:
        """The figure as JSON that is safe inside a ``<script>``: no ``<`` is left in it."""
        text = json.dumps(finite(self.figure), allow_nan=False).replace("<", "\\u003c")
        return Markup(text)


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the numbers at the top of a run's page."""

    value: str
    label: str
    tone: str = ""
    """``""``, ``"good"`` or ``"bad"``: the number's colour."""


def write_report(run: RunDirectory) -> Path:
    """Builds a run's report.html and returns its path."""
    run.write_report(render_run(load(run)))
    return run.report_path


def render_run(run: Run) -> str:
    return _page(
        "run.html",
        title=run.summary["name"] or run.label,
        run=run,
        summary=run.summary,
        story=words.story(run.metrics),
        tiles=tiles(run.summary),
        reasons=told(recorded(run.metrics, run.summary["status"])),
        pictures=_pictures(run.metrics),
        troubles=run.metrics.troubles,
        facts=list(flatten(run.manifest)),
        camera_colours=palette.assign(run.metrics.cameras, palette.CAMERAS),
    )


def render_comparison(found: RunComparison) -> str:
    labels = found.labels
    named = [(label, run.metrics) for label, run in zip(labels, found.whole, strict=True)]
    common = [(label, run.metrics) for label, run in zip(labels, found.cut, strict=True)]
    overview = Picture(
        "mean-accuracy",
        "Mean accuracy over time",
        "The mean of all cameras' accuracies over time; higher is better.",
        figures.mean_accuracy(common, found.until_s),
    )
    top = figures.highest_map([metrics for _, metrics in named])
    singles = [
        Picture(
            f"accuracy-{i}", label, " ".join(words.outcome(metrics)), figures.small_accuracy(metrics, top)
        )
        for i, (label, metrics) in enumerate(named)
    ]
    rows = [row(*each) for each in zip(labels, found.whole, found.cut, strict=True)]
    return _page(
        "comparison.html",
        title="Comparison of " + words.listed(labels),
        cautions=found.cautions,
        outcome=found.outcome,
        until_s=found.until_s,
        overview=overview,
        singles=singles,
        rows=rows,
        colours=palette.assign(labels, palette.RUNS),
    )


def tiles(summary: dict[str, Any]) -> list[Tile]:
    """The tiles at the top of a run's page."""
    finals = [c["map_final"] for c in summary["cameras"].values() if c["map_final"] is not None]
    arrived, kept = in_time(summary), held(summary)
    misses = summary["clock"]["deadline_misses"]
    failing = any(not checked["held"] for checked in summary["expectations"])
    shown = [
        Tile(number(summary["mean_map"], ".2f"), "mean accuracy (mAP)"),
        Tile(number(summary["mean_map_drifted"], ".2f"), "mean accuracy after drift"),
        Tile(number(fmean(finals) if finals else None, ".2f"), "mean accuracy at the end"),
        _response_tile(summary["response"]),
        Tile(answered(summary) or "–", "requests answered"),
        Tile(number(arrived, ".1%"), "segments in time"),
        Tile(number(summary["share_error"], ".1%"), "largest share error"),
        Tile(str(misses), "missed deadlines", "bad" if misses else "good"),
    ]
    if fallen := len(summary["falls"]):
        shown.append(Tile(str(fallen), "cameras that fell and were not won back", "bad"))
    if missed := len(summary["unnoticed_drifts"]):
        shown.append(Tile(str(missed), "drifts nobody noticed", "bad"))
    if kept:
        shown.insert(0, Tile(kept, "expectations held", "bad" if failing else "good"))
    return shown


def _response_tile(response: dict[str, Any]) -> Tile:
    """The median with the requests that were never answered; without half of them there is none."""
    if not response["censored"] or response["survival_median_s"] is not None:
        key = "survival_median_s" if response["censored"] else "median_s"
        return Tile(number(response[key], ".0f", " s"), "median response time")
    return Tile("unknown", "median response time: half or more were never answered", "bad")


def responses(camera: dict[str, Any]) -> str:
    """A camera's response times in order of its drifts: ``21 s, not in 14 s, not asked``."""
    told = []
    for one in camera["responses"]:
        if one["response_s"] is not None:
            told.append(f"{one['response_s']:.0f} s")
        elif one["censored_s"] is not None:
            told.append(f"not in {one['censored_s']:.0f} s")
        else:
            told.append("not asked")
    return ", ".join(told) or "–"


def number(value: float | None, form: str = ".3g", unit: str = "") -> str:
    """A number as the page shows it; a dash stands for one that was not measured."""
    return "–" if value is None else f"{value:{form}}{unit}"


def rate(bps: float | None) -> str:
    """``1.25 Mbit/s`` or ``800 kbit/s``."""
    if bps is None:
        return "–"
    return f"{bps / 1e6:.2f} Mbit/s" if bps >= 1e6 else f"{bps / 1e3:.0f} kbit/s"


_PICTURES: tuple[tuple[str, str, str, Callable[[RunMetrics], axes.PlotlyFigure]], ...] = (
    (
        "accuracy",
        "Accuracy over time",
        "How well the student each camera runs finds what is really there (COCO mAP, 0 to 1). Steps: each "
        "student measured after the run, on frames of all the weather it ran in; faint: live, over the "
        "newest frames. A fall after ▼ is drift; a rise after ○ is what retraining won. Shaded bands are "
        "retraining windows, red lines are faults.",
        figures.accuracy,
    ),
    (
        "groups",
        "Groups over time",
        "Cameras in bars of one colour were in one group: they shared a student and its retraining job. A "
        "mark at a bar's beginning says how the camera came into the job, one at its end why it left. Marks "
        "above a row are drifts and requests; the thin strip under it is the weather that camera saw.",
        group_figure.groups,
    ),
    (
        "gpu",
        "Where the GPU time went",
        "All GPUs train one job per micro-window: each block is one of them, in the row of the job "
        "that got it. A red edge is a missed deadline.",
        gpu_figures.gpu,
    ),
    (
        "gpu-time",
        "What the GPUs did in each micro-window",
        "By wall time. What is missing to 1 was idle: it is room that a faster clock could use. Dashes: the "
        "part of the GPUs' budget that evaluation and labelling were charged for.",
        gpu_figures.gpu_time,
    ),
    (
        "bandwidth",
        "Bandwidth against target",
        "What the server received of each camera's video (first arrivals only), against its weighted max-min "
        "share of the bottleneck (dashed). Red lines are faults.",
        figures.bandwidth,
    ),
    (
        "segments",
        "What became of the video segments",
        "Late segments arrived after their deadline; lost ones were given up.",
        figures.segments,
    ),
)


def _pictures(metrics: RunMetrics) -> list[Picture]:
    """Every picture for which the run has data."""
    built = [Picture(key, title, caption, draw(metrics)) for key, title, caption, draw in _PICTURES]
    return [picture for picture in built if picture.figure["data"]]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ecco_emu.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "rate": rate, "responses": responses}
    return environment


def _page(template: str, **context: Any) -> str:
    plotly = Markup(get_plotlyjs())
    return _environment().get_template(template).render(plotly=plotly, **context)
