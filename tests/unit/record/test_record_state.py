"""When a camera counts as streaming, and when as stalled."""

from __future__ import annotations

from ecco_emu.core import events as ev
from ecco_emu.core.faults import LinkChange, LinkDown, LinkSet, LinkUp
from ecco_emu.record.metrics import RunMetrics


def configured(t: float, state: str = "streaming") -> ev.CameraConfigured:
    return ev.CameraConfigured(
        t=t,
        camera="a",
        state=state,
        fps=5.0,
        width=320,
        height=192,
        alpha=0.5,  # type: ignore[arg-type]
    )


def segment(t: float, state: str) -> ev.SegmentMoved:
    return ev.SegmentMoved(t=t, camera="a", sequence=0, state=state, frames=5, bytes=9)  # type: ignore[arg-type]


def fault(t: float, change: LinkChange) -> ev.FaultApplied:
    return ev.FaultApplied(t=t, index=0, change=change, phase="start", requested=t, applied=t)


def states(*events: ev.AnyEvent) -> list[str]:
    metrics = RunMetrics()
    seen = []
    for event in events:
        metrics.apply(event)
        seen.append(metrics.camera("a").state)
    return seen


def test_a_cut_uplink_stalls_at_once_and_only_a_delivered_segment_ends_it() -> None:
    assert states(
        configured(1),
        segment(2, "delivered"),
        fault(3, LinkDown("a")),
        segment(4, "sent"),
        fault(5, LinkUp("a")),
        segment(5.5, "lost"),
        segment(6, "delivered"),
    ) == ["streaming", "streaming", "stalled", "stalled", "stalled", "stalled", "streaming"]


def test_a_cut_bottleneck_stalls_every_camera() -> None:
    assert states(configured(1), fault(2, LinkDown("bottleneck")))[-1] == "stalled"


def test_a_slower_link_is_no_stall_but_losing_segments_is() -> None:
    assert states(configured(1), fault(2, LinkSet("a", rate_bps=1e6)), segment(3, "lost")) == [
        "streaming",
        "streaming",
        "stalled",
    ]


def test_who_is_not_asked_to_stream_is_idle_whatever_its_link() -> None:
    assert states(configured(1), fault(2, LinkDown("a")), configured(3, "idle"))[-1] == "idle"
