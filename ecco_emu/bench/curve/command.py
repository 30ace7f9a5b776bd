"""``ecco-emu bench curve``: fits the trainer ``curve`` to recorded runs, and judges the fit on their
decisions."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from ecco_emu.bench.curve import alarms, watched
from ecco_emu.bench.curve.alarms import Alarms
from ecco_emu.bench.curve.learning import LearningFit, fit_learning, mean_curve
from ecco_emu.bench.curve.recorded import RecordedRun, first_accuracies, read_runs, trained_students
from ecco_emu.bench.curve.replay import Agreement, Replayed, between_runs, replay
from ecco_emu.bench.curve.seeing import Character, SeeingFit, fit_seeing, scenes_of
from ecco_emu.bench.curve.watched import WatchedStream
from ecco_emu.scenario import schema
from ecco_emu.study.tables import NOTHING, Table, number
from ecco_emu.trainer.curve.fit import CurveFit, Learning, load_fit
from ecco_emu.world.sketch.world import SketchWorld

FADING = (1.0, 1.5, 2.0, 3.0, 4.0)
"""Values of ``fading`` that are tried."""
_HEAD = """\
# Accuracy and detections of students that begin as {student}: a fit of the trainer 'curve'. It was made by
# 'ecco-emu bench curve'. Parameters are described in ecco_emu/trainer/curve/fit.py, formulas in
# docs/notes/curve.md.
"""


@dataclass(frozen=True, slots=True)
class CurveReport:
    fit: CurveFit
    """With provenance and residuals."""
    learning: LearningFit
    seeing: SeeingFit
    replayed: dict[str, Replayed]
    """By scenario."""
    real: Agreement
    """Of two real runs of one scenario and seed."""
    heard: Alarms
    modelled: Alarms

    def tables(self) -> list[Table]:
        return [_accuracies(self.learning), _characters(self.seeing), self._decisions(), self._alarms()]

    def as_data(self) -> dict[str, Any]:
        return self.fit.model_dump(mode="json")

    def write(self, path: Path) -> None:
        """Writes the fit as a YAML file that ``load_fit`` reads."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_yaml(self.fit), encoding="utf-8")

    def _decisions(self) -> Table:
        rows = []
        total = Replayed()
        for name, each in self.replayed.items():
            rows.append((name, *_row(each)))
            total += each
        rows.append(("all", *_row(total)))
        chance = number(self.real.chance / max(1, self.real.of) * 100)
        notes = (
            f"Two real runs of one scenario and seed agree in {self.real.same} of {self.real.of} "
            f"micro-windows with a choice (by chance {chance} %). Their histories differ; "
            "the model is asked with the run's own history.",
        )
        headings = (
            "scenario", "who trains", "by chance", "joins", "split, both", "run only", "model only",
            "mAP error", "gain, run", "gain, model", "correlation",
        )  # fmt: skip
        return Table("Decisions of recorded runs, taken again on the model", headings, tuple(rows), notes)

    def _alarms(self) -> Table:
        conditions = sorted({*self.heard.delays_s, *self.modelled.delays_s})
        rows = [
            (f"delay after {name}, s", _delay(self.heard, name), _delay(self.modelled, name))
            for name in conditions
        ]
        rows.append(("changes missed", str(self.heard.missed), str(self.modelled.missed)))
        rows.append(
            (
                "false alarms a camera and minute",
                number(self.heard.false_per_minute),
                number(self.modelled.false_per_minute),
            )
        )
        return Table("Drift detection", ("", "runs", "model"), tuple(rows))


async def fit_curve(
    directories: Sequence[Path],
    *,
    base: str | None,
    streams_file: Path | None,
    seeds: int,
    progress: Callable[[str], None],
) -> CurveReport:
    """``base`` has the values that runs do not tell. ``streams_file`` is read, or made if it is not there.

    Raises ``ScenarioError`` for a folder that is no run of ``yolo``, or a file that is none of streams.
    """
    runs = read_runs(directories)
    start = load_fit(base)
    progress(f"fitting skills to {len(runs)} runs")
    students = [each for run in runs for each in trained_students(run)]
    learning = fit_learning(students, first_accuracies(runs), start.learning)
    streams = await _streams(runs, learning, streams_file, progress)
    first = start.model_copy(update={"learning": _forgotten(learning, streams)})
    scenarios = {run.started.name: run.scenario for run in runs}
    worlds = {name: SketchWorld(scenario) for name, scenario in scenarios.items()}
    scenes = scenes_of((scenarios[name], world) for name, world in worlds.items())
    seeing = fit_seeing(first, streams, scenes, progress)
    curves = seeing.learning.conditions
    unknown = mean_curve([curves[each.condition] for each in learning.students])
    fit = first.model_copy(
        update={"learning": seeing.learning.model_copy(update={"other": unknown}), "seeing": seeing.seeing}
    )
    heard = alarms.recorded(runs)
    fit = await _with_fading(fit, heard, scenarios, worlds, progress)
    fit = await _with_familiarity(fit, runs, worlds, progress)
    replayed: dict[str, Replayed] = {name: Replayed() for name in scenarios}
    for place, run in enumerate(runs, start=1):
        progress(f"replaying run {place} of {len(runs)}, {run.directory.name}")
        for seed in range(seeds):
            replayed[run.started.name] += await replay(run, worlds[run.started.name], fit, seed)
    modelled = await _alarms(fit, scenarios, worlds, range(seeds))
    real = between_runs(runs)
    report = CurveReport(fit, learning, seeing, replayed, real, heard, modelled)
    full = fit.model_copy(
        update={
            "student": start.student,
            "provenance": _provenance(runs, streams, seeds),
            "residuals": _residuals(report),
        }
    )
    return CurveReport(full, learning, seeing, replayed, real, heard, modelled)


async def _with_fading(
    fit: CurveFit,
    heard: Alarms,
    scenarios: Mapping[str, schema.Scenario],
    worlds: Mapping[str, SketchWorld],
    progress: Callable[[str], None],
) -> CurveFit:
    """With the value of ``fading`` that makes drift detectors about as quick as they were in the runs."""
    if not heard.delays_s:
        return fit
    progress("fitting how students fail while a condition fades in")
    tried = []
    for fading in FADING:
        model = _changed(fit, fading=fading)
        modelled = await _alarms(model, scenarios, worlds, range(1))
        tried.append((abs(modelled.mean_delay_s - heard.mean_delay_s), model))
    return min(tried, key=lambda each: each[0])[1]


async def _with_familiarity(
    fit: CurveFit,
    runs: Sequence[RecordedRun],
    worlds: Mapping[str, SketchWorld],
    progress: Callable[[str], None],
) -> CurveFit:
    """With the familiarity that gives first micro-windows the gains that they had in the runs."""
    progress("fitting how well jobs know the frames that they were trained on")
    ends = []
    for familiarity in (0.0, 1.0):
        total = Replayed()
        for run in runs:
            total += await replay(
                run, worlds[run.started.name], _changed(fit, familiarity=familiarity), seed=0
            )
        if not total.first_gains:
            return fit
        recorded, modelled = np.array(total.first_gains).mean(axis=0).tolist()
        ends.append(modelled)
    least, most = ends
    part = (recorded - least) / (most - least) if most > least else 0.0
    return _changed(fit, familiarity=round(min(1.0, max(0.0, part)), 3))


async def _alarms(
    fit: CurveFit,
    scenarios: Mapping[str, schema.Scenario],
    worlds: Mapping[str, SketchWorld],
    seeds: Iterable[int],
) -> Alarms:
    found = Alarms()
    for seed in seeds:
        for name, scenario in scenarios.items():
            found += await alarms.modelled(scenario, worlds[name], fit, seed)
    return found


def _changed(fit: CurveFit, **learning: float) -> CurveFit:
    return fit.model_copy(update={"learning": fit.learning.model_copy(update=learning)})


def as_yaml(fit: CurveFit) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.width = 160
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    yaml.dump(fit.model_dump(mode="json"), text)
    return _HEAD.format(student=fit.student) + text.getvalue()


async def _streams(
    runs: Sequence[RecordedRun],
    learning: LearningFit,
    file: Path | None,
    progress: Callable[[str], None],
) -> list[WatchedStream]:
    if file is not None and (known := watched.read(file)) is not None:
        return known
    streams = await watched.watch(runs, learning.students, progress)
    if file is not None:
        watched.save(streams, file)
    return streams


def _forgotten(found: LearningFit, streams: Sequence[WatchedStream]) -> Learning:
    """How much of the first student's condition is left after training on others."""
    learning = found.learning
    first = next(each for each in streams if not each.steps)
    left = [each for each in streams if each.condition == first.own and each.steps]
    if not left:
        return learning
    most = learning.curve(first.own).most
    return learning.model_copy(update={"kept": round(fmean(each.map for each in left) / most, 3)})


# -- words --


def _provenance(
    runs: Sequence[RecordedRun], streams: Sequence[WatchedStream], seeds: int
) -> dict[str, object]:
    several: dict[tuple[str, int, str], int] = {}
    versions: set[str] = set()
    for run in runs:
        key = run.started.name, run.started.seed, run.started.policy
        several[key] = several.get(key, 0) + 1
        versions.add(f"ecco-emu {run.manifest.get('ecco_emu', 'of unknown version')}")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "runs": [
            {"scenario": name, "seed": seed, "policy": policy, "runs": count}
            for (name, seed, policy), count in sorted(several.items())
        ],
        "versions": sorted(versions),
        "students": len({each.student for each in streams}),
        "frames": sum(len(each.truth) for each in streams),
        "seeds": seeds,
    }


def _residuals(report: CurveReport) -> dict[str, object]:
    errors = report.learning.errors
    total = Replayed()
    for each in report.replayed.values():
        total += each
    return {
        "students": len(errors),
        "student_map_mae": _rounded(float(np.abs(errors).mean())),
        "student_map_rmse": _rounded(float(np.sqrt((errors**2).mean()))),
        "server_map_bias": _rounded(_bias(total)),
        "server_map_rmse": _rounded(_rmse(total)),
        "allocations": {"same": total.allocation.same, "of": total.allocation.of},
        "allocations_by_chance": _rounded(total.allocation.chance),
        "allocations_of_two_runs": {"same": report.real.same, "of": report.real.of},
        "joins": {"same": total.joins.same, "of": total.joins.of},
        "splits": {
            "both": total.splits[True, True],
            "neither": total.splits[False, False],
            "run_only": total.splits[True, False],
            "model_only": total.splits[False, True],
        },
    }


def _accuracies(found: LearningFit) -> Table:
    rows = []
    for condition in sorted({each.condition for each in found.students}):
        own = np.array([each.condition == condition for each in found.students])
        measured = np.array([each.accuracy for each in found.students])[own]
        errors = found.errors[own]
        rows.append(
            (
                condition,
                str(int(own.sum())),
                f"{measured.min():.2f} to {measured.max():.2f}",
                f"{np.abs(errors).mean():.3f}",
                f"{np.sqrt((errors**2).mean()):.3f}",
            )
        )
    headings = ("condition", "students", "mAP in runs", "mean error", "root mean square")
    return Table("Skill of students after training", headings, tuple(rows))


def _characters(found: SeeingFit) -> Table:
    rows = []
    for (condition, student), real in sorted(found.real.items(), key=lambda each: (each[0][0], each[1].map)):
        rows.append((f"{condition} {student[:6]}", *_character(real, found.modelled[condition, student])))
    headings = (
        "student", "mAP", "mAP50", "confidence", "its deviation", "correlation", "after 1 s", "of windows",
        "standard error", "F1",
    )  # fmt: skip
    notes = ("Each cell is: real / model. Windows are of eight held-out frames.",)
    return Table("Detections of students, and of the model's of the same skill", headings, tuple(rows), notes)


def _character(real: Character, model: Character) -> tuple[str, ...]:
    names = ("map", "map50", "confidence", "confidence_sd", "correlation", "correlation_1s", "window_sd")
    return tuple(
        f"{getattr(real, name):.2f} / {getattr(model, name):.2f}" for name in (*names, "error", "f1")
    )


def _row(of: Replayed) -> tuple[str, ...]:
    gains = np.array(of.gains) if of.gains else np.zeros((1, 2))
    both = len(gains) > 2
    return (
        f"{of.allocation.same} of {of.allocation.of}",
        f"{of.allocation.chance:.0f}",
        f"{of.joins.same} of {of.joins.of}",
        f"{of.splits[True, True]} of {sum(of.splits.values())}",
        str(of.splits[True, False]),
        str(of.splits[False, True]),
        f"{_bias(of):+.3f}, {_rmse(of):.3f}",
        f"{gains[:, 0].mean():.3f} ± {gains[:, 0].std():.3f}",
        f"{gains[:, 1].mean():.3f} ± {gains[:, 1].std():.3f}",
        f"{np.corrcoef(gains.T)[0, 1]:.2f}" if both else NOTHING,
    )


def _bias(of: Replayed) -> float:
    return float(np.diff(np.array(of.before)).mean()) if of.before else 0.0


def _rmse(of: Replayed) -> float:
    return float(np.sqrt((np.diff(np.array(of.before)) ** 2).mean())) if of.before else 0.0


def _delay(of: Alarms, condition: str) -> str:
    values = of.delays_s.get(condition)
    if not values:
        return NOTHING
    return f"{np.median(values):.1f} ({min(values):.1f} to {max(values):.1f}, n = {len(values)})"


def _rounded(value: float) -> float:
    return round(value, 4)
