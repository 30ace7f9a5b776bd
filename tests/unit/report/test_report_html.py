import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from ecco_emu.core import events as ev
from ecco_emu.record.drifts import DriftResponse, response_statistics
from ecco_emu.record.log import EventLog
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.rundir import RunDirectory
from ecco_emu.report import figures, gpu_figures, group_figure, palette
from ecco_emu.report import story as words
from ecco_emu.report.comparison import compare
from ecco_emu.report.html import render_comparison, render_run, write_report
from ecco_emu.report.runs import load
from tests.unit.record.synthetic import PLANS, Plan, second_drift, started, story

EVIL = "</script><img src=x onerror=alert(1)>"


def recorded(base: Path, name: str, events: list[ev.AnyEvent]) -> RunDirectory:
    run = RunDirectory.create(base, name, datetime(2026, 11, 23, tzinfo=UTC))
    with EventLog(run.events_path, lambda: 0.0) as log:
        for event in events:
            log.append(event)
    return run


def without_plotly(page: str) -> str:
    """The page but its first script, which is plotly's own."""
    return re.sub(r"<script>.*?</script>", "", page, count=1, flags=re.DOTALL)


DRAWN = (
    figures.accuracy, group_figure.groups, gpu_figures.gpu, gpu_figures.gpu_time, figures.bandwidth,
    figures.segments,
)  # fmt: skip


@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize(
    "events", [story(), second_drift(), [started()], []], ids=["whole", "second drift", "begun", "empty"]
)
def test_pictures_are_valid_plotly(draw, events: list[ev.AnyEvent]) -> None:  # type: ignore[no-untyped-def]
    figure = draw(RunMetrics.of(events))
    assert go.Figure(figure).layout.height == figure["layout"]["height"]


def test_the_gpu_is_one_hot(tmp_path: Path) -> None:
    figure = gpu_figures.gpu(RunMetrics.of(story()))
    starts = [start for trace in figure["data"] for start in trace["base"]]
    assert sorted(starts) == [2.0 * index for index in range(30)]


def test_mean_series_steps_with_every_measurement() -> None:
    def at(t: float, camera: str, value: float) -> ev.Accuracy:
        return ev.Accuracy(t=t, camera=camera, map=value, map50=value, frames=8, model="m")

    metrics = RunMetrics.of([at(1, "a", 0.2), at(2, "b", 0.6), at(3, "a", 0.4)])
    times, values = figures.mean_series(metrics)
    assert times == [1, 2, 3]
    assert values == pytest.approx([0.2, 0.4, 0.5])


def traces(figure: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in figure["data"]}


def test_groups_are_drawn_with_the_reason_for_every_change() -> None:
    shown = traces(group_figure.groups(RunMetrics.of(second_drift())))
    assert list(shown)[:3] == ["job1", "job2", "job10"]  # not by their names as text
    assert shown["job1"]["base"] == [13.0, 13.5, 16.0]
    assert shown["job1"]["x"] == [57.0, pytest.approx(39.8), 54.0]
    marks = {name: shown[name]["x"] for name in shown if shown[name]["type"] == "scatter"}
    assert sorted(marks.pop("weather changes")) == [10.0, 10.0, 10.0, 50.0, 80.0, 80.0, 80.0]
    assert marks == {
        "drift noticed, asks": [12.0, 83.0, 12.4, 83.5, 12.2, 53.0],
        "request waits": [13.0, 14.0],
        "request refused": [53.2],
        "founds a job": [13.0, 53.3, 84.0],
        "joins": [13.5, 16.0, 100.0, 86.0],
        "split off: its accuracy fell": [100.0],
        "leaves: it asks again": [53.3],
        "released": [70.0, 70.0],
    }


def test_accuracy_is_drawn_in_steps_where_students_were_measured() -> None:
    shown = traces(figures.accuracy(RunMetrics.of(second_drift())))
    line = shown["cam2"]
    assert list(zip(line["x"], line["y"], strict=True))[:4] == [(0, 0.62), (10, 0.62), (10, 0.02), (40, 0.02)]
    assert shown["cam2 live"]["showlegend"] is False
    assert shown["on its way at the end"]["x"] == [120.4]


def test_the_gpus_time_is_drawn_by_use() -> None:
    shown = traces(gpu_figures.gpu_time(RunMetrics.of(second_drift())))
    assert list(shown) == [
        "training", "evaluating", "labelling", "budget charged for evaluating, labelling",
    ]  # fmt: skip
    assert shown["labelling"]["y"][0] == pytest.approx(0.025)
    older = traces(gpu_figures.gpu_time(RunMetrics.of(story())))  # whose log tells of training alone
    assert list(older) == ["training"]


def test_the_story_tells_of_a_second_drift() -> None:
    told = words.story(RunMetrics.of(second_drift()))
    assert "Nobody noticed: cam3 turned to rain at 80 s (mAP 0.02 before, 0.02 after)." in told
    assert (
        "Requests: cam1, cam2 and cam3 asked more than once; cam2 had to wait until a job's gain could be "
        "told; cam3 had a request refused." in told
    )
    assert (
        "How groups changed: cam3 was in job1 until 53 s (left to ask again); cam2 was in job10 until 100 s "
        "(split off as its accuracy fell); job1 ended at 70 s: recovered." in told
    )
    assert "4 were answered: accuracy was back at 0.4 after 28 s (median, the others counted)." in told[-2]
    assert told[-1] == "Accuracy (mAP) that was not won back: cam3 fell from 0.55 to 0.30."


def test_a_student_that_is_offered_again_is_drawn_once() -> None:
    def runs(t: float, model: str) -> ev.StudentRunning:
        return ev.StudentRunning(t=t, camera="a", model=model, transferred_bytes=0, transfer_s=0.0)

    seen = ev.Accuracy(t=0.5, camera="a", map=0.4, map50=0.5, frames=8, model="m0")
    figure = figures.accuracy(RunMetrics.of([seen, runs(1, "m1"), runs(2, "m1"), runs(3, "m2")]))
    assert traces(figure)["new student runs"]["x"] == [1, 3]


@pytest.mark.parametrize(
    ("answered", "censored", "after"),
    [
        ([], [40.0], ""),
        ([20.0, 40.0], [], " after 30 s (median)"),
        ([20.0, 40.0, 50.0], [60.0], " after 40 s (median, the others counted)"),
        ([40.0], [60.0, 60.0, 60.0], "; half or more never were, so that no median is known"),
    ],
)
def test_a_median_hides_no_request_without_an_answer(
    answered: list[float], censored: list[float], after: str
) -> None:
    found = [DriftResponse(0.0, 1.0, response_s=value) for value in answered]
    found += [DriftResponse(0.0, 1.0, censored_s=value) for value in censored]
    assert words.median_words(response_statistics(found)).startswith(after)


def test_a_run_that_fell_says_so_though_it_is_ok(tmp_path: Path) -> None:
    """No drift was told of, nobody asked, every expectation held: accuracies alone show the fall."""
    fell = [
        ev.Accuracy(t=t, camera="a", map=value, map50=value, frames=8, model="m")
        for t, value in ((1.0, 0.53), (30.0, 0.2), (59.0, 0.01))
    ]
    run = recorded(tmp_path, "x", [started(cameras=("a",)), *fell, ev.RunEnded(t=60.0, status="ok")])
    own = without_plotly(render_run(load(run)))
    assert "Accuracy (mAP) that was not won back: a fell from 0.53 to 0.01." in own
    assert "cameras that fell and were not won back" in own
    assert "Why this run is" not in own


def test_the_page_says_why_a_run_is_degraded(tmp_path: Path) -> None:
    reason = ev.Reason(criterion="deadline", text="2 deadlines were missed", value=2, limit=0)
    end = ev.RunEnded(t=60.0, status="degraded", reasons=[reason], suggested_dilation=8.4)
    own = without_plotly(render_run(load(recorded(tmp_path, "x", [*story()[:-1], end]))))
    assert "Why this run is degraded" in own
    assert "degraded: 2 deadlines were missed" in own
    assert "--dilation 8.4" in own


def test_mean_series_breaks_off_a_camera_that_is_not_measured() -> None:
    def step(camera: str, start: float, end: float, value: float | None) -> ev.StudentMeasured:
        return ev.StudentMeasured(
            t=9,
            camera=camera,
            model="m",
            start=start,
            end=end,
            weather="day",
            map=value,
            map50=value,
            frames=32,
        )

    metrics = RunMetrics.of([step("a", 0, 4, 0.2), step("a", 4, 8, None), step("b", 0, 8, 0.6)])
    times, values = figures.mean_series(metrics)
    assert times == [0, 4, 8]
    assert values == pytest.approx([0.4, 0.6, 0.6])


def test_a_page_is_one_file_that_needs_no_network(tmp_path: Path) -> None:
    run = recorded(tmp_path, "quickstart", story())
    page = write_report(run).read_text()
    own = without_plotly(page)
    assert "default-src 'none'" in own
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']?(http|//)", own)
    for name in ("Accuracy over time", "Where the GPU time went", "Faults", "Clock health"):
        assert name in own
    payloads = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', own, re.DOTALL)
    assert [bool(json.loads(payload)["data"]) for payload in payloads] == [True] * 6


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    plans = (Plan(EVIL, EVIL, 14.0, EVIL, EVIL, 19.0), *PLANS[1:])
    run = recorded(tmp_path, "x", [*story(plans=plans)[:-1], ev.Trouble(t=59.0, where=EVIL, text=EVIL)])
    run.write_manifest({EVIL: {EVIL: EVIL}})
    own = without_plotly(render_run(load(run)))
    assert "<img" not in own
    assert "\\u003cimg" not in own


def test_a_run_that_died_has_a_report(tmp_path: Path) -> None:
    run = recorded(tmp_path, "x", story()[:200])
    with run.events_path.open("ab") as file:
        file.write(b'{"t":20.0,"wall":8')
    assert "interrupted" in without_plotly(render_run(load(RunDirectory.open(run.path))))


def test_several_runs_are_compared_by_policy(tmp_path: Path) -> None:
    runs = [recorded(tmp_path, policy, story(policy)) for policy in ("ecco", "naive")]
    own = without_plotly(render_comparison(compare(runs)))
    assert "Comparison of ecco and naive" in own
    assert own.count('class="figure"') == 3


def test_runs_of_one_policy_are_told_apart_by_directory(tmp_path: Path) -> None:
    runs = [recorded(tmp_path, name, story()) for name in ("first", "second")]
    assert "ecco (20261123T000000Z-second)" in without_plotly(render_comparison(compare(runs)))


def test_the_story_says_what_happened() -> None:
    told = " ".join(words.story(RunMetrics.of(story())))
    assert "cam1 and cam2 saw fog from 14 s; cam3 saw fog from 15 s; cam4 saw night from 18 s" in told
    assert "Nothing changed for cam5" in told
    assert "cam1, cam2 and cam3 shared job1" in told
    assert "cam4 alone had job2" in told
    assert "1 of 2 expectations held" in told


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], "nobody"),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (list("abcdefgh"), "a, b, c, d, e, f and 2 more"),
    ],
)
def test_lists_in_words(names: list[str], told: str) -> None:
    assert words.listed(names) == told


def test_a_hundred_cameras_have_a_hundred_colours() -> None:
    colours = palette.assign([f"cam{i}" for i in range(100)], palette.CAMERAS)
    assert len(set(colours.values())) == 100
    assert all(re.fullmatch(r"#[0-9a-f]{6}", colour) for colour in colours.values())


def test_many_changes_and_jobs_are_told_in_short() -> None:
    plans = tuple(Plan(f"c{i}", "d", 10.0 + i, ("fog", "night")[i % 2], f"job{i}", 20.0) for i in range(8))
    told = " ".join(words.story(RunMetrics.of(story(plans=plans))))
    assert (
        "c0, c2, c4 and c6 saw fog from 10 to 16 s on; c1, c3, c5 and c7 saw night from 11 to 17 s on" in told
    )
    assert "and 2 more jobs" in told
