"""A run's pictures, as plotly figures in plain JSON values.

Names come from YAML and from the network, and plotly takes some HTML in its texts. Every name therefore goes
through ``html.escape``.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from ecco_emu.record.metrics import CameraMetrics, JobMetrics, RunMetrics
from ecco_emu.report import axes, palette

PlotlyFigure = dict[str, Any]
"""``{"data": [...], "layout": {...}}``, as plotly.js draws it."""

_SHORT_HASH = 6


def accuracy(metrics: RunMetrics) -> PlotlyFigure:
    """mAP over time, a line per camera and their mean; marks show weather changes, drift and new students."""
    figure = _accuracy(metrics, highest_map([metrics]), height=430 + 7 * len(metrics.cameras))
    figure["layout"]["annotations"] = axes.window_names(metrics) + axes.fault_names(metrics)
    return figure


def small_accuracy(metrics: RunMetrics, top: float) -> PlotlyFigure:
    """``accuracy`` for a comparison: the axis ends at ``top`` mAP for all runs, and the legend is below."""
    figure = _accuracy(metrics, top, height=420)
    figure["layout"]["legend"] |= {"y": -0.22, "yanchor": "top"}
    figure["layout"]["margin"] |= {"t": 32}
    for trace in figure["data"]:
        trace["showlegend"] = trace["mode"] == "lines"
    return figure


def highest_map(runs: Sequence[RunMetrics]) -> float:
    """The highest accuracy in any of the runs; 1 when none was measured."""
    points = (p.map for metrics in runs for camera in metrics.cameras.values() for p in camera.accuracy)
    return max(points, default=0.0) or 1.0


def _accuracy(metrics: RunMetrics, top: float, *, height: int) -> PlotlyFigure:
    colours = palette.assign(metrics.cameras, palette.CAMERAS)
    lines = [_accuracy_line(camera, colours[camera.id]) for camera in metrics.cameras.values()]
    marks = [
        _weather_marks(metrics, colours),
        _drift_marks(metrics, colours),
        _student_marks(metrics, colours),
    ]
    layout = axes.layout(
        height, x=axes.time_axis(metrics), y=axes.axis("accuracy (mAP)", range=_headroom(top))
    )
    layout["shapes"] = axes.window_bands(metrics) + [axes.fault_line(fault) for fault in metrics.faults]
    return {"data": [*lines, _mean_line(metrics), *(m for m in marks if m["x"])], "layout": layout}


def _headroom(top: float) -> list[float]:
    """A range from 0 with room above the data for the windows' names."""
    return [0, top * 1.12]


def groups(metrics: RunMetrics) -> PlotlyFigure:
    """A row per camera: when it was in which job's group and, below it, the weather that it saw."""
    rows = {camera: row for row, camera in enumerate(metrics.cameras)}
    colours = palette.assign(metrics.jobs, palette.JOBS)
    bars = [_stay_bars(job, rows, colours[job.id], metrics.t) for job in metrics.jobs.values() if job.stays]
    layout = axes.layout(90 + 44 * max(len(rows), 1), x=axes.time_axis(metrics), y=axes.rows_axis(list(rows)))
    layout |= {"barmode": "overlay", "shapes": axes.window_bands(metrics)}
    return {"data": bars + _weather_bars(metrics, rows), "layout": layout}


def gpu(metrics: RunMetrics) -> PlotlyFigure:
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


def bandwidth(metrics: RunMetrics) -> PlotlyFigure:
    """A panel per camera that sent video: its goodput against its share of the bottleneck."""
    senders = [camera for camera in metrics.cameras.values() if camera.traffic]
    colours = palette.assign(metrics.cameras, palette.CAMERAS)
    columns = 1 if len(senders) <= 1 else 2 if len(senders) <= 4 else 3
    rows = max(1, -(-len(senders) // columns))
    layout = axes.layout(110 + 190 * rows, x={}, y={})
    layout["margin"] = layout["margin"] | {"t": 72}
    layout["legend"] = layout["legend"] | {"y": 1 + 26 / (190 * rows)}
    layout["grid"] = {"rows": rows, "columns": columns, "pattern": "independent", "ygap": 0.32, "xgap": 0.1}
    data: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, camera in enumerate(senders):
        suffix = "" if index == 0 else str(index + 1)
        layout[f"xaxis{suffix}"] = axes.time_axis(metrics, title=index >= len(senders) - columns)
        title = "Mbit/s" if index % columns == 0 else ""
        matches = {"matches": "y"} if index else {}  # all panels keep one scale, also when one is zoomed
        layout[f"yaxis{suffix}"] = axes.axis(title, rangemode="tozero", **matches)
        data += _bandwidth_lines(camera, colours[camera.id], suffix, first=index == 0)
        annotations.append(_panel_title(camera.id, colours[camera.id], suffix))
    layout["annotations"] = annotations
    layout["shapes"] = axes.panel_faults(metrics, senders)
    return {"data": data, "layout": layout}


def segments(metrics: RunMetrics) -> PlotlyFigure:
    """By camera, how many video segments came in time, late, not at all, or are still on the way."""
    cameras = [c for c in metrics.cameras.values() if c.segments]
    fates = (
        ("in time", palette.GOOD, [c.segments_delivered for c in cameras]),
        ("late", palette.LATE, [c.segments_late for c in cameras]),
        ("lost", palette.BAD, [c.segments_lost for c in cameras]),
        ("still on the way at the end", palette.PENDING, [_pending(c) for c in cameras]),
    )
    names = [escape(camera.id) for camera in cameras]
    bars = [
        {
            "type": "bar", "orientation": "h", "name": fate, "y": names, "x": counts,
            "marker": {"color": colour}, "width": 0.55,
            "hovertemplate": "%{y}: %{x} " + fate + "<extra></extra>",
        }
        for fate, colour, counts in fates
        if any(counts)
    ]  # fmt: skip
    y = axes.axis("", autorange="reversed", type="category", showgrid=False)
    layout = axes.layout(110 + 36 * max(len(cameras), 1), x=axes.axis("segments"), y=y)
    return {"data": bars, "layout": layout | {"barmode": "stack"}}


def mean_accuracy(runs: Sequence[tuple[str, RunMetrics]]) -> PlotlyFigure:
    """The mean of the cameras' accuracies over time, one line per run."""
    colours = palette.assign([name for name, _ in runs], palette.RUNS)
    data: list[dict[str, Any]] = []
    for name, metrics in runs:
        times, values = mean_series(metrics)
        data.append(
            {
                "type": "scatter", "mode": "lines", "name": escape(name), "x": times, "y": values,
                "line": {"color": colours[name], "width": 2.5},
                "hovertemplate": escape(name) + " %{y:.3f} at %{x:.1f} s<extra></extra>",
            }
        )  # fmt: skip
    longest = max((metrics for _, metrics in runs), key=lambda metrics: metrics.duration_s)
    top = max((max(trace["y"], default=0.0) for trace in data), default=0.0) or 1.0
    layout = axes.layout(
        420, x=axes.time_axis(longest), y=axes.axis("mean accuracy (mAP)", range=_headroom(top))
    )
    layout |= {"shapes": axes.window_bands(longest), "annotations": axes.window_names(longest)}
    return {"data": data, "layout": layout}


def mean_series(metrics: RunMetrics) -> tuple[list[float], list[float]]:
    """``(times, means)``: the mean of the cameras' newest accuracies whenever one of them was measured."""
    newest: dict[str, float] = {}
    series: dict[float, float] = {}
    points = [point for camera in metrics.cameras.values() for point in camera.accuracy]
    for point in sorted(points, key=lambda point: point.t):
        newest[point.camera] = point.map
        # to 0.1 s: cameras are measured one after the other, and the last of a round completes its mean
        series[round(point.t, 1)] = sum(newest.values()) / len(newest)
    return list(series), list(series.values())


# -- pieces --


def _accuracy_line(camera: CameraMetrics, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": escape(camera.id),
        "x": [point.t for point in camera.accuracy],
        "y": [point.map for point in camera.accuracy],
        "customdata": [point.model[:_SHORT_HASH] for point in camera.accuracy],
        "line": {"color": colour, "width": 2},
        "hovertemplate": f"{escape(camera.id)}: %{{y:.3f}} at %{{x:.1f}} s, student %{{customdata}}"
        "<extra></extra>",
    }


def _mean_line(metrics: RunMetrics) -> dict[str, Any]:
    times, values = mean_series(metrics)
    return {
        "type": "scatter", "mode": "lines", "name": "mean", "x": times, "y": values,
        "line": {"color": palette.INK, "width": 1.5, "dash": "dot"},
        "hovertemplate": "mean: %{y:.3f} at %{x:.1f} s<extra></extra>",
    }  # fmt: skip


def _marks(name: str, symbol: str, size: int, points: list[tuple[CameraMetrics, float, str]],
           colours: dict[str, str], *, open_: bool = False) -> dict[str, Any]:  # fmt: skip
    """Marks on the cameras' lines at ``(camera, time, text)``.

    A mark before a camera's first measurement is left out: there is no line yet to put it on.
    """
    placed = [(c, t, text, value) for c, t, text in points if (value := c.map_at(t)) is not None]
    fill = [colours[c.id] for c, *_ in placed]
    marker = {"symbol": symbol, "size": size, "line": {"width": 1.5, "color": fill if open_ else "#ffffff"}}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [t for _, t, _, _ in placed],
        "y": [value for *_, value in placed],
        "text": [f"{escape(c.id)}: {escape(text)} at {t:.1f} s" for c, t, text, _ in placed],
        "marker": marker | {"color": "#ffffff" if open_ else fill},
        "hovertemplate": "%{text}<extra></extra>",
    }


def _weather_marks(metrics: RunMetrics, colours: dict[str, str]) -> dict[str, Any]:
    points = [(c, x.t, f"turns to {x.weather}") for c in metrics.cameras.values() for x in c.weather_changes]
    return _marks("weather changes", "triangle-down", 13, points, colours)


def _drift_marks(metrics: RunMetrics, colours: dict[str, str]) -> dict[str, Any]:
    points = [(c, x.t, f"drift noticed ({x.detector})") for c in metrics.cameras.values() for x in c.drifts]
    return _marks("drift noticed", "diamond", 10, points, colours)


def _student_marks(metrics: RunMetrics, colours: dict[str, str]) -> dict[str, Any]:
    points = [
        (c, x.t, f"runs student {x.model[:_SHORT_HASH]}")
        for c in metrics.cameras.values()
        for x in c.students
    ]
    return _marks("new student runs", "circle", 8, points, colours, open_=True)


def _bars(name: str, colour: str, row: float, spans: list[tuple[float, float, int, str]]) -> dict[str, Any]:
    """Horizontal blocks, one for each span ``(start, end, row, hover text)``; ``row`` is their height."""
    return {
        "type": "bar",
        "orientation": "h",
        "name": escape(name),
        "base": [start for start, _, _, _ in spans],
        "x": [end - start for start, end, _, _ in spans],
        "y": [y for _, _, y, _ in spans],
        "width": row,
        "marker": {"color": colour, "line": {"width": 1, "color": "#ffffff"}},
        "text": [text for *_, text in spans],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }


def _stay_bars(job: JobMetrics, rows: dict[str, int], colour: str, now: float) -> dict[str, Any]:
    spans = []
    for stay in job.stays:
        end = now if stay.end is None else stay.end
        text = f"{escape(stay.camera)} in {escape(job.id)}, {stay.start:.1f} to {end:.1f} s"
        spans.append((stay.start, end, rows[stay.camera], text))
    return _bars(job.id, colour, 0.5, spans)


def _weather_bars(metrics: RunMetrics, rows: dict[str, int]) -> list[dict[str, Any]]:
    spans: dict[str, list[tuple[float, float, int, str]]] = {}
    for camera in metrics.cameras.values():
        ends = [condition.t for condition in camera.conditions[1:]] + [max(metrics.t, 0.0)]
        # not strict: a camera without conditions has an end all the same, which then goes unused
        for condition, end in zip(camera.conditions, ends, strict=False):
            text = f"{escape(camera.id)} sees {escape(condition.weather)}, {condition.t:.1f} to {end:.1f} s"
            spans.setdefault(condition.weather, []).append((condition.t, end, rows[camera.id], text))
    return [
        _bars(f"weather: {name}", palette.weather(name), 0.15, rest) | {"offset": 0.28}
        for name, rest in spans.items()
    ]


def _micro_bars(job: JobMetrics, row: int, colour: str, metrics: RunMetrics) -> dict[str, Any]:
    micro_s = metrics.started.micro_s if metrics.started else 1.0
    spans = []
    for micro in job.micro_windows:
        gain = "" if micro.map_before is None else f"{micro.map_before:.3f} → "
        after = "not measured" if micro.map_after is None else f"{micro.map_after:.3f}"
        late = "<br>late: it missed its deadline" if micro.late else ""
        text = (
            f"{escape(job.id)}, window {micro.window + 1}, micro-window {micro.index + 1}"
            f"<br>mAP {gain}{after}<br>{micro.steps} steps, {micro.images} images{late}"
        )
        spans.append((micro.start, micro.start + micro_s, row, text))
    bar = _bars(job.id, colour, 0.62, spans)
    edges = [palette.BAD if micro.late else "#ffffff" for micro in job.micro_windows]
    widths = [2.5 if micro.late else 1 for micro in job.micro_windows]
    bar["marker"] = {"color": colour, "line": {"width": widths, "color": edges}}
    return bar


def _idle_bars(metrics: RunMetrics, row: int) -> dict[str, Any]:
    micro_s = metrics.started.micro_s if metrics.started else 1.0
    idle = [micro for micro in metrics.micro_windows if micro.job is None]
    spans = [(micro.start, micro.start + micro_s, row, "no job to train") for micro in idle]
    return _bars("(none)", "#dfe3e8", 0.62, spans)


def _bandwidth_lines(camera: CameraMetrics, colour: str, suffix: str, *, first: bool) -> list[dict[str, Any]]:
    times = [traffic.t for traffic in camera.traffic]
    place = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "x": times, "type": "scatter", "mode": "lines"}
    got = place | {
        "name": "received (camera's colour)", "y": [t.goodput_bps / 1e6 for t in camera.traffic],
        "line": {"color": colour, "width": 2}, "fill": "tozeroy", "fillcolor": palette.faint(colour, 0.12),
        "hovertemplate": f"{escape(camera.id)} received %{{y:.2f}} Mbit/s at %{{x:.1f}} s<extra></extra>",
        "legendgroup": "got", "showlegend": first,
    }  # fmt: skip
    target = place | {
        "name": "target share", "y": [t.target_bps / 1e6 for t in camera.traffic],
        # "vh": a sample's target holds over the period that ends at its time
        "line": {"color": palette.INK, "width": 1.5, "dash": "dash", "shape": "vh"},
        "hovertemplate": f"{escape(camera.id)} target %{{y:.2f}} Mbit/s at %{{x:.1f}} s<extra></extra>",
        "legendgroup": "target", "showlegend": first,
    }  # fmt: skip
    return [got, target]


def _panel_title(name: str, colour: str, suffix: str) -> dict[str, Any]:
    return {
        "text": f"<b>{escape(name)}</b>", "xref": f"x{suffix} domain", "yref": f"y{suffix} domain",
        "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom", "showarrow": False,
        "font": {"color": colour, "size": 13},
    }  # fmt: skip


def _pending(camera: CameraMetrics) -> int:
    done = camera.segments_delivered + camera.segments_late + camera.segments_lost
    return max(0, camera.segments_sent - done)
