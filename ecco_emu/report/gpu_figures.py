"""The pictures of the GPUs' time: which job got each micro-window, and for what it was used."""

from __future__ import annotations

from html import escape
from typing import Any

from ecco_emu.core import events as ev
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.parts import JobMetrics
from ecco_emu.record.summary import gpu_time_of, used_micro_windows
from ecco_emu.report import axes, palette

USES = {"training": palette.JOBS[0], "evaluating": palette.JOBS[1], "labelling": palette.JOBS[2]}
IDLE = "#dfe3e8"


def gpu(metrics: RunMetrics) -> axes.PlotlyFigure:
    """One block per micro-window of GPU time, in the row of the job that got it."""
    rows = list(metrics.jobs)
    idle = any(micro.job is None for micro in metrics.micro_windows)
    colours = palette.assign(metrics.jobs, palette.JOBS)
    bars = [_micro_bars(job, row, colours[job.id], metrics) for row, job in enumerate(metrics.jobs.values())]
    if idle:
        bars.append(_idle_bars(metrics, len(rows)))
    names = [*rows, "(none)"] if idle else rows
    layout = axes.layout(100 + 44 * max(len(names), 1), x=axes.time_axis(metrics), y=axes.rows_axis(names))
    layout |= {"barmode": "overlay", "shapes": axes.window_bands(metrics), "showlegend": False}
    layout["margin"] |= {"t": 32}
    return {"data": bars, "layout": layout}


def _micro_bars(job: JobMetrics, row: int, colour: str, metrics: RunMetrics) -> dict[str, Any]:
    micro_s = metrics.started.micro_s if metrics.started else 1.0
    spans = []
    for micro in job.micro_windows:
        gain = "" if micro.map_before is None else f"{micro.map_before:.3f} → "
        after = "not measured" if micro.map_after is None else f"{micro.map_after:.3f}"
        late = "<br>late: it missed its deadline" if micro.late else ""
        text = (
            f"{escape(job.id)}, window {micro.window + 1}, micro-window {micro.index + 1}"
            f"<br>mAP {gain}{after}<br>{micro.steps} steps, {micro.images} images{_charged(micro)}{late}"
        )
        spans.append((micro.start, micro.start + micro_s, row, text))
    bar = axes.bars(job.id, colour, 0.62, spans)
    edges = [palette.BAD if micro.late else "#ffffff" for micro in job.micro_windows]
    widths = [2.5 if micro.late else 1 for micro in job.micro_windows]
    bar["marker"] = {"color": colour, "line": {"width": widths, "color": edges}}
    return bar


def _idle_bars(metrics: RunMetrics, row: int) -> dict[str, Any]:
    micro_s = metrics.started.micro_s if metrics.started else 1.0
    idle = [micro for micro in metrics.micro_windows if micro.job is None]
    spans = [(micro.start, micro.start + micro_s, row, _why_idle(micro)) for micro in idle]
    return axes.bars("(none)", IDLE, 0.62, spans)


def _why_idle(micro: ev.MicroWindow) -> str:
    return "measuring took all of its budget" if micro.charged > 0 else "no job to train"


def gpu_time(metrics: RunMetrics) -> axes.PlotlyFigure:
    """A column per micro-window that was used: the parts of its time by use. Above 1 it was late."""
    started = metrics.started
    used = used_micro_windows(metrics)
    layout = axes.layout(300, x=axes.time_axis(metrics), y=axes.axis("part of the micro-window"))
    layout |= {"barmode": "stack", "bargap": 0.08, "shapes": axes.window_bands(metrics)}
    if started is None:
        return {"data": [], "layout": layout}
    spent = [(micro, gpu_time_of(micro, started)) for micro in used]
    parts: dict[str, list[float | None]] = {
        "training": [time.train for _, time in spent],
        "evaluating": [time.evaluate for _, time in spent],
        "labelling": [time.label for _, time in spent],
    }
    middles = [micro.start + started.micro_s / 2 for micro in used]
    names = [
        f"{escape(micro.job or 'no job')}, micro-window {micro.window + 1}.{micro.index + 1}"
        for micro in used
    ]
    data = [_use_bars(use, middles, values, names, started.micro_s) for use, values in parts.items()]
    charged = [(middle, time.charged) for middle, (_, time) in zip(middles, spent, strict=True)]
    shown = [bars for bars in data if any(value is not None for value in bars["y"])]
    return {"data": shown + _charge_marks(charged), "layout": layout}


def _use_bars(
    use: str, middles: list[float], values: list[float | None], names: list[str], micro_s: float
) -> dict[str, Any]:
    return {
        "type": "bar", "name": use, "x": middles, "y": values, "width": micro_s * 0.92, "text": names,
        "textposition": "none", "marker": {"color": USES[use]},
        "hovertemplate": f"%{{text}}: {use} %{{y:.0%}} of its time<extra></extra>",
    }  # fmt: skip


def _charge_marks(charged: list[tuple[float, float | None]]) -> list[dict[str, Any]]:
    points = [(t, part) for t, part in charged if part is not None]
    if not points:
        return []
    return [
        {
            "type": "scatter", "mode": "markers", "name": "budget charged for evaluating, labelling",
            "x": [t for t, _ in points], "y": [part for _, part in points],
            "marker": {"symbol": "line-ew-open", "size": 11, "color": palette.INK, "line": {"width": 2}},
            "hovertemplate": "%{y:.0%} of the GPUs' budget charged<extra></extra>",
        }
    ]  # fmt: skip


def _charged(micro: ev.MicroWindow) -> str:
    if micro.budget <= 0:
        return ""
    return f"<br>{micro.charged:.0f} of {micro.budget:.0f} images of the budget charged otherwise"
