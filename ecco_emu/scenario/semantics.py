"""Checks that need the whole scenario: names that must exist, times that must come, links that work.

They run on a ``Draft``, in which a section that is wrong in itself is None. One bad key therefore does not
hide problems elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Protocol, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from ecco_emu.core import units
from ecco_emu.core.errors import ScenarioError
from ecco_emu.scenario import expectations, profiles
from ecco_emu.scenario.faults import timeline
from ecco_emu.scenario.problems import Finding, Path, did_you_mean, path_text, shown
from ecco_emu.scenario.schema import Scenario
from ecco_emu.scenario.sections.cameras import CameraSection
from ecco_emu.scenario.sections.clock import ClockSection
from ecco_emu.scenario.sections.drift import DriftSection
from ecco_emu.scenario.sections.expect import ExpectationSection
from ecco_emu.scenario.sections.faults import FaultSection
from ecco_emu.scenario.sections.network import (
    BottleneckSection,
    DownlinkSection,
    Engine,
    ShapeSection,
    UplinkSection,
)
from ecco_emu.scenario.sections.trainer import TrainerSection
from ecco_emu.scenario.sections.windows import WindowsSection
from ecco_emu.scenario.sections.world import DistrictSection

RESERVED_IDS = ("server", "bottleneck", "downlink", "switch")
"""Names of the emulation's own nodes and links, which no camera may have."""

M = TypeVar("M", bound=BaseModel)


class Checks(Protocol):
    """What upper layers know of a scenario without running it: this package knows neither the link lab, nor
    what is in files of weights and traces, nor what a camera in the town can see."""

    def findings(self, draft: Draft, *, files: bool) -> Iterable[Finding]:
        """Everything that keeps the scenario from running. ``files``: look into files too."""
        ...

    def cautions(self, scenario: Scenario) -> Iterable[Finding]:
        """What is odd in a scenario that can run."""
        ...


@dataclass(frozen=True, slots=True)
class Draft:
    """The parts of a scenario; a part that is wrong in itself is None."""

    clock: ClockSection | None
    windows: WindowsSection | None
    drift: DriftSection | None
    trainer: TrainerSection | None
    engine: Engine
    uplink: UplinkSection | None
    bottleneck: BottleneckSection | None
    downlink: DownlinkSection | None
    town_size: float | None
    districts: list[DistrictSection | None]
    district_names: list[str | None]
    cameras: list[CameraSection | None]
    camera_ids: list[str | None]
    faults: list[FaultSection | None]
    expect: list[ExpectationSection | None]

    @classmethod
    def of(cls, data: object) -> Draft:
        """The draft of plain data, as ``document.parse`` gives it."""
        top = _mapping(data)
        town = _mapping(_mapping(top.get("world")).get("town"))
        network = _mapping(top.get("network"))
        cameras, districts = _items(top.get("cameras")), _items(town.get("districts"))
        return cls(
            clock=_part(ClockSection, top.get("clock", {})),
            windows=_part(WindowsSection, top.get("windows", {})),
            drift=_part(DriftSection, top.get("drift", {})),
            trainer=_part(TrainerSection, top.get("trainer", {})),
            engine=_engine(network.get("engine")),
            uplink=_part(UplinkSection, network.get("uplink", {})),
            bottleneck=_part(BottleneckSection, network.get("bottleneck", {})),
            downlink=_part(DownlinkSection, network.get("downlink", {})),
            town_size=_length(town.get("size", "300m")),
            districts=[_part(DistrictSection, item) for item in districts],
            district_names=[_text(_mapping(item).get("name")) for item in districts],
            cameras=[_part(CameraSection, item) for item in cameras],
            camera_ids=[_text(_mapping(item).get("id")) for item in cameras],
            faults=[_part(FaultSection, item) for item in _items(top.get("faults"))],
            expect=[_part(ExpectationSection, item) for item in _items(top.get("expect"))],
        )

    @property
    def known_cameras(self) -> list[str]:
        return [name for name in self.camera_ids if name is not None]

    def shapes(self) -> dict[str, tuple[Path, ShapeSection]]:
        """By link that is right in itself: its path in the scenario and its shape at the start of the run."""
        found: dict[str, tuple[Path, ShapeSection]] = {}
        for name, shared in (("bottleneck", self.bottleneck), ("downlink", self.downlink)):
            if shared is not None:
                found[name] = ("network", name), shared
        for index, camera in _present(self.cameras):
            if self.uplink is None:
                continue
            if camera.uplink is None:
                found[camera.id] = ("network", "uplink"), self.uplink
            else:
                found[camera.id] = ("cameras", index, "uplink"), camera.uplink.over(self.uplink)
        return found

    def traced(self) -> dict[Path, ShapeSection]:
        """Those of the links, and network.uplink, that follow a trace, by their paths in the scenario."""
        places = dict(self.shapes().values())
        if self.uplink is not None:
            places["network", "uplink"] = self.uplink
        return {path: shape for path, shape in places.items() if shape.trace is not None}

    @property
    def duration_s(self) -> float | None:
        return self.windows.duration_s if self.windows else None


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _engine(value: object) -> Engine:
    return next((engine for engine in get_args(Engine) if engine == value), "auto")


def _part(model: type[M], value: object) -> M | None:
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


def _length(value: object) -> float | None:
    try:
        return units.parse_length(value)
    except ValueError:
        return None


def findings(draft: Draft, *, files: bool = True) -> Iterator[Finding]:
    """Everything wrong between the parts. ``files``: look for the student's and teacher's weights, for traces
    and for sampling tables too."""
    yield from _camera_names(draft)
    yield from _town_camera_places(draft)
    yield from _camera_rates(draft)
    yield from _town_districts(draft)
    yield from _faults(draft)
    yield from _expectations(draft)
    yield from _teacher(draft)
    if files:
        yield from _traces(draft)
        yield from _tables(draft)
        if draft.trainer is not None:
            yield from _weights(draft.trainer)


def _present(items: Iterable[M | None]) -> Iterator[tuple[int, M]]:
    for index, item in enumerate(items):
        if item is not None:
            yield index, item


def _repeated(names: list[str | None], base: Path, key: str) -> Iterator[Finding]:
    counts = Counter(name for name in names if name is not None)
    for index, name in enumerate(names):
        first = names.index(name)
        if name is not None and counts[name] > 1 and index != first:
            yield (*base, index, key), f"{shown(name)} is the {key} of {path_text((*base, first))} already"


def _camera_names(draft: Draft) -> Iterator[Finding]:
    yield from _repeated(draft.camera_ids, ("cameras",), "id")
    for index, name in enumerate(draft.camera_ids):
        if name in RESERVED_IDS:
            taken = ", ".join(RESERVED_IDS)
            yield ("cameras", index, "id"), f"{shown(name)} is taken: the emulation itself has {taken}"


def _town_camera_places(draft: Draft) -> Iterator[Finding]:
    """A camera in a town stands in it and looks somewhere."""
    for index, camera in _present(draft.cameras):
        if draft.town_size is not None:
            half = draft.town_size / 2
            if max(map(abs, camera.at)) > half:
                edge = units.format_length(half)
                yield (
                    ("cameras", index, "at"),
                    f"{_point(camera.at)} is outside the town, which reaches {edge} from (0m, 0m) each way",
                )
        if camera.source.look_at == camera.at:
            yield ("cameras", index, "source", "look_at"), "is where the camera stands; look at another point"


def _point(at: tuple[float, float]) -> str:
    return f"({units.format_length(at[0])}, {units.format_length(at[1])})"


def _camera_rates(draft: Draft) -> Iterator[Finding]:
    for index, camera in _present(draft.cameras):
        if draft.drift is not None and draft.drift.infer_fps > camera.source.fps:
            yield (
                ("cameras", index, "source", "fps"),
                f"{camera.source.fps:g} frames a second are fewer than the {draft.drift.infer_fps:g} that "
                "drift.infer_fps looks at",
            )
        if draft.uplink is not None and camera.uplink is not None:
            shape = camera.uplink.over(draft.uplink)
            left_out = ", with network.uplink for what is left out"
            if shape.jitter > shape.delay:
                yield (
                    ("cameras", index, "uplink"),
                    f"jitter ({units.format_time(shape.jitter)}) cannot be larger than delay "
                    f"({units.format_time(shape.delay)}){left_out}",
                )
            if shape.reorder and not shape.delay:
                yield ("cameras", index, "uplink"), f"reorder needs a delay{left_out}"


def _town_districts(draft: Draft) -> Iterator[Finding]:
    """A town's districts have different names, and their weather changes while the run goes on."""
    base: Path = ("world", "town", "districts")
    yield from _repeated(draft.district_names, base, "name")
    for index, district in _present(draft.districts):
        for step, change in enumerate(district.weather):
            late = _too_late(change.at, draft)
            if late:
                yield (*base, index, "weather", step, "at"), late


def _too_late(at: float, draft: Draft) -> str | None:
    duration = draft.duration_s
    if duration is None or at < duration:
        return None
    return f"{units.format_time(at)} never comes: the run ends at {units.format_time(duration)}"


def _faults(draft: Draft) -> Iterator[Finding]:
    for index, fault in _present(draft.faults):
        for path, wrong in timeline.unknown_nodes(fault, draft.known_cameras):
            yield ("faults", index, *path), wrong
        late = _too_late(fault.at, draft)
        if late:
            yield ("faults", index, "at"), late
    for index, message in timeline.pair(draft.faults)[1]:
        yield ("faults", index), message
    yield from _changes(draft)


def _changes(draft: Draft) -> Iterator[Finding]:
    """``set`` faults that a link cannot take in the state that it has then.

    It follows the faults in order of time, because each ``set`` starts from the shape that those before left.
    """
    now = {name: (shape.delay, shape.jitter) for name, (_, shape) in draft.shapes().items()}
    traced = {name for name, (_, shape) in draft.shapes().items() if shape.trace is not None}
    for index, fault in sorted(_present(draft.faults), key=lambda item: (item[1].at, item[0])):
        change = fault.set
        if change is None or fault.on not in now:
            continue
        if change.rate is not None and fault.on in traced:
            yield (
                ("faults", index, "set", "rate"),
                f"the rate of {fault.on} follows its trace; cap it with a 'cliff' instead",
            )
        before = now[fault.on]
        delay = before[0] if change.delay is None else change.delay
        jitter = before[1] if change.jitter is None else change.jitter
        if jitter > delay:
            yield (
                ("faults", index, "set"),
                f"jitter ({units.format_time(jitter)}) would be larger than delay "
                f"({units.format_time(delay)}) on {fault.on} then",
            )
        else:
            now[fault.on] = delay, jitter


def _traces(draft: Draft) -> Iterator[Finding]:
    for path, shape in draft.traced().items():
        assert shape.trace is not None
        try:
            profiles.trace_path(shape.trace.file)
        except ScenarioError as error:
            yield (*path, "trace"), str(error)


def _tables(draft: Draft) -> Iterator[Finding]:
    named: list[tuple[Path, str | None]] = [
        (("cameras", index, "source", "table"), camera.source.table)
        for index, camera in _present(draft.cameras)
    ]
    if draft.trainer is not None:
        named.append((("trainer", "table"), draft.trainer.table))
    for path, name in named:
        if name is not None:
            try:
                profiles.sampling_table(name)
            except ScenarioError as error:
                yield path, str(error)


def _expectations(draft: Draft) -> Iterator[Finding]:
    for index, expectation in _present(draft.expect):
        base: Path = ("expect", index)
        known = draft.known_cameras
        if expectation.camera not in known:
            hint = did_you_mean(expectation.camera, known) or f"; there are: {', '.join(known)}"
            yield (*base, "camera"), f"there is no camera {shown(expectation.camera)}{hint}"
        for key, text, parse in (
            ("delivers", expectation.delivers, expectations.parse_delivers),
            ("map", expectation.map, expectations.parse_map),
        ):
            if text is not None:
                try:
                    parse(text)
                except ValueError as error:
                    yield (*base, key), str(error)
        if expectation.of is not None:
            yield from _moment(draft, base, expectation.of, expectation.within or 0.0)


def _moment(draft: Draft, base: Path, text: str, within_s: float) -> Iterator[Finding]:
    try:
        moment = expectations.parse_moment(text)
        start = _fault_moment(draft, moment) if isinstance(moment, expectations.FaultMoment) else moment
    except ValueError as error:
        yield (*base, "of"), str(error)
        return
    duration = draft.duration_s
    if start is None or duration is None:
        return
    late = _too_late(start, draft)
    if late:
        yield (*base, "of"), f"{text}, at {late}" if text.startswith("fault") else late
    elif start + within_s > duration + 1e-9:  # a sum of times in floats may be a rounding error too large
        yield (
            (*base, "within"),
            f"{units.format_time(within_s)} of {text} last until {units.format_time(start + within_s)}, "
            f"but the run ends at {units.format_time(duration)}",
        )


def _fault_moment(draft: Draft, moment: expectations.FaultMoment) -> float | None:
    """The planned time in emulated seconds; None when the fault itself is wrong.

    Raises ``ValueError`` when the fault or its end does not exist.
    """
    if moment.index >= len(draft.faults):
        count = len(draft.faults)
        there = "there are no faults" if not count else f"the last is fault[{count - 1}]"
        raise ValueError(f"there is no fault[{moment.index}]; {there}")
    fault = draft.faults[moment.index]
    if fault is None or moment.phase == "start":
        return fault.at if fault else None
    end = timeline.pair(draft.faults)[0].get(moment.index)
    if end is None:
        raise ValueError(f"fault[{moment.index}] has no end: {_how_to_end(fault, moment.index)}")
    return end.at


def _how_to_end(fault: FaultSection, index: int) -> str:
    if fault.down is not None:
        return "give its 'down' a 'for', or end it with an 'up'"
    if fault.kind in ("set", "up"):
        return f"a {fault.kind!r} has none; use fault[{index}].start"
    return f"give its {fault.kind!r} a 'for'"


def _teacher(draft: Draft) -> Iterator[Finding]:
    trainer = draft.trainer
    if trainer is not None and trainer.backend == "curve" and trainer.teacher != "oracle":
        yield (
            ("trainer", "teacher"),
            "'backend: curve' runs no model, so it has no teacher but the world's own labels: give oracle, "
            "or 'backend: yolo'",
        )


def _weights(trainer: TrainerSection) -> Iterator[Finding]:
    find = profiles.curve_path if trainer.backend == "curve" else profiles.student_path
    try:
        find(trainer.student)
    except ScenarioError as error:
        yield ("trainer", "student"), str(error)
    if trainer.backend == "yolo" and trainer.teacher != "oracle" and not FilePath(trainer.teacher).is_file():
        hint = did_you_mean(trainer.teacher, ["oracle"])
        yield (
            ("trainer", "teacher"),
            f"no weights at {trainer.teacher!r}{hint or '; give oracle, or a path to YOLO11x weights'}",
        )
