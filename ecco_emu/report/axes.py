"""The parts that all pictures share: layout, axes of time and rows, bars, bands of windows, lines of faults.

Everything is plotly's JSON. ``suffix`` is the number of a panel's axes: plotly names the first ones ``x`` and
``y``, the next ones ``x2`` and ``y2``.
"""

from __future__ import annotations

from html import escape
from typing import Any

from ecco_emu.core import events as ev
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.parts import CameraMetrics
from ecco_emu.report import palette

PlotlyFigure = dict[str, Any]
"""``{"data": [...], "layout": {...}}``, as plotly.js draws it."""

_FONT = {
    "family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
    "size": 13,
    "color": palette.INK,
}


def layout(height: int, *, x: dict[str, Any], y: dict[str, Any]) -> dict[str, Any]:
    return {
        "height": height, "autosize": True, "font": _FONT, "xaxis": x, "yaxis": y,
        "paper_bgcolor": "#ffffff", "plot_bgcolor": "#ffffff", "hovermode": "closest",
        "margin": {"l": 64, "r": 16, "t": 52, "b": 48},
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "traceorder": "normal"},
        "hoverlabel": {"bgcolor": "#ffffff", "font": _FONT},
    }  # fmt: skip


def axis(title: str, **more: Any) -> dict[str, Any]:
    base = {"title": {"text": title}, "gridcolor": palette.GRID, "zeroline": False, "linecolor": palette.GRID}
    return base | {"automargin": True} | more


def time_axis(metrics: RunMetrics, *, title: bool = True) -> dict[str, Any]:
    end = max(metrics.duration_s, metrics.t, 1.0)
    return axis("emulated time (s)" if title else "", range=[0, end], showgrid=False)


def rows_axis(names: list[str]) -> dict[str, Any]:
    return axis(
        "", tickmode="array", tickvals=list(range(len(names))), ticktext=[escape(name) for name in names],
        range=[len(names) - 0.45, -0.55], showgrid=False,  # from high to low: the first row stands at the top
    )  # fmt: skip


def windows(metrics: RunMetrics) -> list[tuple[float, float]]:
    started = metrics.started
    if started is None:
        return []
    return [(i * started.window_s, (i + 1) * started.window_s) for i in range(started.windows)]


def window_bands(metrics: RunMetrics) -> list[dict[str, Any]]:
    return [
        {
            "type": "rect", "xref": "x", "yref": "paper", "x0": start, "x1": end, "y0": 0, "y1": 1,
            "fillcolor": palette.BAND, "line": {"width": 0}, "layer": "below",
        }
        for start, end in windows(metrics)[::2]  # every second window is shaded
    ]  # fmt: skip


def window_names(metrics: RunMetrics) -> list[dict[str, Any]]:
    spans = windows(metrics)
    every = -(-len(spans) // 12)  # rounded up: 12 names at most, as more would overlap
    return [
        {
            "text": f"window {i + 1}", "xref": "x", "yref": "paper", "x": (start + end) / 2, "y": 0.995,
            "yanchor": "top", "showarrow": False, "font": {"size": 11, "color": palette.MUTED},
        }
        for i, (start, end) in enumerate(spans)
        if i % every == 0
    ]  # fmt: skip


def panel_faults(metrics: RunMetrics, senders: list[CameraMetrics]) -> list[dict[str, Any]]:
    """In each camera's panel, the faults on its own link and on those everybody shares."""
    return [
        fault_line(fault, "" if index == 0 else str(index + 1))
        for index, camera in enumerate(senders)
        for fault in metrics.faults
        if fault.on == camera.id or fault.on not in metrics.cameras
    ]


def fault_line(fault: ev.FaultApplied, suffix: str = "") -> dict[str, Any]:
    return {
        "type": "line", "xref": f"x{suffix}", "yref": f"y{suffix} domain", "x0": fault.applied,
        "x1": fault.applied, "y0": 0, "y1": 1, "line": {"color": palette.BAD, "width": 1, "dash": "dot"},
    }  # fmt: skip


def fault_names(metrics: RunMetrics) -> list[dict[str, Any]]:
    return [
        {
            "text": f"{escape(fault.on)} {escape(fault.action)}", "xref": "x", "yref": "y domain", "y": 0.01,
            "x": fault.applied, "xanchor": "right", "yanchor": "bottom", "textangle": -90, "showarrow": False,
            "font": {"size": 11, "color": palette.BAD},
        }
        for fault in metrics.faults
    ]  # fmt: skip


def bars(name: str, colour: str, row: float, spans: list[tuple[float, float, int, str]]) -> dict[str, Any]:
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
