"""Checks that need the whole scenario: names that must exist, times that must come, links that work.

They run on a ``Draft``, in which what is wrong in itself is None, so that one bad key does not hide
what is wrong elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ecco_emu.core import units
from ecco_emu.core.errors import ScenarioError
from ecco_emu.scenario import expectations, faults, profiles
from ecco_emu.scenario.problems import Path, did_you_mean, path_text, shown
from ecco_emu.scenario.schema import (
    Camera,
    District,
    Drift,
    Expectation,
    Fault,
    Scenario,
    Trainer,
    Uplink,
    Windows,
)

RESERVED_IDS = ("server", "bottleneck", "downlink", "switch")
"""Names of the emulation's own nodes and links."""

Finding = tuple[Path, str]
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Draft:
    """A scenario in parts; each is None where it is wrong in itself."""

    windows: Windows | None
    drift: Drift | None
    trainer: Trainer | None
    uplink: Uplink | None
    town_size: float | None
    districts: list[District | None]
    district_names: list[str | None]
    cameras: list[Camera | None]
    camera_ids: list[str | None]
    faults: list[Fault | None]
    expect: list[Expectation | None]

    @classmethod
    def of(cls, data: object) -> Draft:
        """The draft of plain data, as read from YAML."""
        top = _mapping(data)
        town = _mapping(_mapping(top.get("world")).get("town"))
        cameras, districts = _items(top.get("cameras")), _items(town.get("districts"))
        return cls(
            windows=_part(Windows, top.get("windows", {})),
            drift=_part(Drift, top.get("drift", {})),
            trainer=_part(Trainer, top.get("trainer", {})),
            uplink=_part(Uplink, _mapping(top.get("network")).get("uplink", {})),
            town_size=_length(town.get("size", "300m")),
            districts=[_part(District, item) for item in districts],
            district_names=[_text(_mapping(item).get("name")) for item in districts],
            cameras=[_part(Camera, item) for item in cameras],
            camera_ids=[_text(_mapping(item).get("id")) for item in cameras],
            faults=[_part(Fault, item) for item in _items(top.get("faults"))],
            expect=[_part(Expectation, item) for item in _items(top.get("expect"))],
        )

    @property
    def known_cameras(self) -> list[str]:
        return [name for name in self.camera_ids if name is not None]

    @property
    def duration_s(self) -> float | None:
        return self.windows.duration_s if self.windows else None


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


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
    """Everything wrong between the parts. ``files``: look for the student's and teacher's weights too."""
    yield from _camera_names(draft)
    yield from _camera_places(draft)
    yield from _camera_rates(draft)
    yield from _districts(draft)
    yield from _faults(draft)
    yield from _expectations(draft)
    if files and draft.trainer is not None:
        yield from _weights(draft.trainer)


def problems_in(scenario: Scenario, *, files: bool = True) -> list[Finding]:
    """The same for a scenario built in Python."""
    return list(
        findings(Draft.of(scenario.model_dump(mode="json", by_alias=True, exclude_unset=True)), files=files)
    )


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


def _camera_places(draft: Draft) -> Iterator[Finding]:
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
            given = camera.uplink.model_fields_set
            jitter = camera.uplink.jitter if "jitter" in given else draft.uplink.jitter
            delay = camera.uplink.delay if "delay" in given else draft.uplink.delay
            if jitter > delay:
                yield (
                    ("cameras", index, "uplink"),
                    f"jitter ({units.format_time(jitter)}) cannot be larger than delay "
                    f"({units.format_time(delay)}), with network.uplink for what is left out",
                )


def _districts(draft: Draft) -> Iterator[Finding]:
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
        wrong = faults.unknown_link(fault.on, draft.known_cameras)
        if wrong:
            yield ("faults", index, "on"), wrong
        late = _too_late(fault.at, draft)
        if late:
            yield ("faults", index, "at"), late
    for index, message in faults.pair(draft.faults)[1]:
        yield ("faults", index), message


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
    elif start + within_s > duration + 1e-9:
        yield (
            (*base, "within"),
            f"{units.format_time(within_s)} of {text} last until {units.format_time(start + within_s)}, "
            f"but the run ends at {units.format_time(duration)}",
        )


def _fault_moment(draft: Draft, moment: expectations.FaultMoment) -> float | None:
    """The planned time, None when the fault itself is wrong. Raises ``ValueError`` when there is none."""
    if moment.index >= len(draft.faults):
        count = len(draft.faults)
        there = "there are no faults" if not count else f"the last is fault[{count - 1}]"
        raise ValueError(f"there is no fault[{moment.index}]; {there}")
    fault = draft.faults[moment.index]
    if fault is None or moment.phase == "start":
        return fault.at if fault else None
    end = faults.pair(draft.faults)[0].get(moment.index)
    if end is None:
        raise ValueError(
            f"fault[{moment.index}] has no end: give its 'down' a 'for', or end it with an 'up'"
            if fault.down is not None
            else f"fault[{moment.index}] has no end: only a 'down' has one; use fault[{moment.index}].start"
        )
    return end.at


def _weights(trainer: Trainer) -> Iterator[Finding]:
    try:
        profiles.student_path(trainer.student)
    except ScenarioError as error:
        yield ("trainer", "student"), str(error)
    if trainer.teacher != "oracle" and not FilePath(trainer.teacher).is_file():
        hint = did_you_mean(trainer.teacher, ["oracle"])
        yield (
            ("trainer", "teacher"),
            f"no weights at {trainer.teacher!r}{hint or '; give oracle, or a path to YOLO11x weights'}",
        )
