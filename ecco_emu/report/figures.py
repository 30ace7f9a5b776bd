"""A run's pictures of accuracy, bandwidth and segments, as plotly figures in plain JSON values.

Names come from YAML and from the network, and plotly takes some HTML in its texts. Every name therefore goes
through ``html.escape``.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.parts import CameraMetrics
from ecco_emu.report import axes, palette
from ecco_emu.report.axes import PlotlyFigure

_SHORT_HASH = 6


def accuracy(metrics: RunMetrics) -> PlotlyFigure:
    """mAP over time, a line per camera and their mean; marks show weather changes, drift and new students.

    Where students were measured, lines are steps, and faint lines are the glimpses of the live run.
    """
    figure = _accuracy(metrics, highest_map([metrics]), height=430 + 7 * len(metrics.cameras))
    figure["layout"]["annotations"] = axes.window_names(metrics) + axes.fault_names(metrics)
    return figure


def small_accuracy(metrics: RunMetrics, top: float) -> PlotlyFigure:
    """``accuracy`` for a comparison: the axis ends at ``top`` mAP for all runs, and the legend is below."""
    figure = _accuracy(metrics, top, height=420)
    figure["layout"]["legend"] |= {"y": -0.22, "yanchor": "top"}
    figure["layout"]["margin"] |= {"t": 32}
    for trace in figure["data"]:
        trace["showlegend"] = trace["mode"] == "lines" and trace.get("showlegend", True)
    return figure


def highest_map(runs: Sequence[RunMetrics]) -> float:
    """The highest accuracy in any of the runs; 1 when none was measured."""
    lines = [camera.curve.line() for metrics in runs for camera in metrics.cameras.values()]
    return max((value for line in lines for _, value, _ in line if value is not None), default=0.0) or 1.0


def _accuracy(metrics: RunMetrics, top: float, *, height: int) -> PlotlyFigure:
    colours = palette.assign(metrics.cameras, palette.CAMERAS)
    cameras = metrics.cameras.values()
    glimpses = [_glimpses(c, colours[c.id]) for c in cameras if c.measured and c.accuracy]
    lines = [*glimpses, *(_accuracy_line(camera, colours[camera.id]) for camera in cameras)]
    marks = [
        _weather_marks(metrics, colours),
        _drift_marks(metrics, colours),
        _student_marks(metrics, colours),
        _late_student_marks(metrics, colours),
    ]
    layout = axes.layout(
        height, x=axes.time_axis(metrics), y=axes.axis("accuracy (mAP)", range=_headroom(top))
    )
    layout["shapes"] = axes.window_bands(metrics) + [axes.fault_line(fault) for fault in metrics.faults]
    return {"data": [*lines, _mean_line(metrics), *(m for m in marks if m["x"])], "layout": layout}


def _headroom(top: float) -> list[float]:
    """A range from 0 with room above the data for the windows' names."""
    return [0, top * 1.12]


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


def mean_accuracy(runs: Sequence[tuple[str, RunMetrics]], until_s: float) -> PlotlyFigure:
    """The mean of the cameras' accuracies over time up to ``until_s``, one line per run."""
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
    layout["xaxis"]["range"] = [0, until_s]
    return {"data": data, "layout": layout}


def mean_series(metrics: RunMetrics) -> tuple[list[float], list[float]]:
    """``(times, means)``: the mean of the cameras' accuracies whenever one of them changed."""
    newest: dict[str, float] = {}
    series: dict[float, float] = {}
    points = [
        (t, camera.id, value) for camera in metrics.cameras.values() for t, value, _ in camera.curve.line()
    ]
    # to 0.1 s: cameras are glimpsed one after the other, and the last of a round completes its mean. Of two
    # points of a camera at one moment, the end of a step and the beginning of the next, the later one counts
    for t, camera_id, value in sorted(points, key=lambda point: round(point[0], 1)):
        if value is not None:
            newest[camera_id] = value
        else:
            newest.pop(camera_id, None)
        if newest:
            series[round(t, 1)] = sum(newest.values()) / len(newest)
    return list(series), list(series.values())


# -- pieces --


def _accuracy_line(camera: CameraMetrics, colour: str) -> dict[str, Any]:
    line = camera.curve.line()
    return {
        "type": "scatter",
        "mode": "lines",
        "name": escape(camera.id),
        "x": [t for t, _, _ in line],
        "y": [value for _, value, _ in line],
        "customdata": [model[:_SHORT_HASH] for _, _, model in line],
        "connectgaps": False,
        "line": {"color": colour, "width": 2},
        "hovertemplate": f"{escape(camera.id)}: %{{y:.3f}} at %{{x:.1f}} s, student %{{customdata}}"
        "<extra></extra>",
    }


def _glimpses(camera: CameraMetrics, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "name": f"{escape(camera.id)} live", "showlegend": False,
        "x": [point.t for point in camera.accuracy], "y": [point.map for point in camera.accuracy],
        "line": {"color": palette.faint(colour, 0.28), "width": 1}, "hoverinfo": "skip",
    }  # fmt: skip


def _mean_line(metrics: RunMetrics) -> dict[str, Any]:
    times, values = mean_series(metrics)
    stepwise = any(camera.measured for camera in metrics.cameras.values())
    shape = "hv" if stepwise else "linear"
    return {
        "type": "scatter", "mode": "lines", "name": "mean", "x": times, "y": values,
        "line": {"color": palette.INK, "width": 1.5, "dash": "dot", "shape": shape},
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
        for x in c.switches
    ]
    return _marks("new student runs", "circle", 8, points, colours, open_=True)


def _late_student_marks(metrics: RunMetrics, colours: dict[str, str]) -> dict[str, Any]:
    """Students that had not arrived when the run ended: they have no time of their own."""
    points = [
        (c, x.start, f"student {x.model[:_SHORT_HASH]} was on its way")
        for c in metrics.cameras.values()
        for x in c.measured
        if x.start == x.end
    ]
    return _marks("on its way at the end", "square", 8, points, colours, open_=True)


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
