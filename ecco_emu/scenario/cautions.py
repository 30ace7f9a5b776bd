"""What is odd in a scenario that can run: it hardly does what its author wants."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ecco_emu.control.drift import warm_up_s
from ecco_emu.core import units
from ecco_emu.scenario.problems import Finding, Path
from ecco_emu.scenario.schema import Scenario
from ecco_emu.scenario.sections.cameras import CameraSection
from ecco_emu.scenario.sections.network import ShapeSection
from ecco_emu.scenario.sections.trainer import TrainerSection

_ONE_SPOT_M = 0.5


def cautions(scenario: Scenario) -> Iterator[Finding]:
    """Everything odd that follows from the scenario alone."""
    yield from _drifts_before_the_detector_is_ready(scenario)
    yield from _one_window(scenario)
    yield from _without_effect(scenario)
    yield from _links_that_lose_everything(scenario)
    yield from _cameras_with_one_picture(scenario)


def _drifts_before_the_detector_is_ready(scenario: Scenario) -> Iterator[Finding]:
    """Weather changes that fall into the time in which a camera's detector learns the usual level.

    What it learns then is the level of both weathers, and the drift is never noticed.
    """
    if scenario.drift.detector == "oracle":
        return
    ready_s = warm_up_s(scenario.drift.infer_fps)
    for index, district in enumerate(scenario.world.town.districts):
        for step, change in enumerate(district.weather[1:], start=1):
            if change.at < ready_s:
                yield (
                    ("world", "town", "districts", index, "weather", step, "at"),
                    f"at {units.format_time(change.at)} cameras still learn what is normal "
                    f"(until {units.format_time(ready_s)}), so nobody may notice this drift; let it come "
                    "later, or use 'drift: {detector: oracle}'",
                )


def _one_window(scenario: Scenario) -> Iterator[Finding]:
    """A run that ends when the first retrained students are delivered: nobody sees them at work."""
    drifts = any(len(district.weather) > 1 for district in scenario.world.town.districts)
    if scenario.windows.count == 1 and drifts:
        yield (
            ("windows", "count"),
            "students are delivered at a window's end, where this run ends: no camera will run a retrained "
            "one in time; give 2 or more",
        )


def _without_effect(scenario: Scenario) -> Iterator[Finding]:
    """Settings of real training in a run that models it."""
    usual = TrainerSection().learning_rate
    if scenario.trainer.backend == "curve" and scenario.trainer.learning_rate != usual:
        yield (
            ("trainer", "learning_rate"),
            f"has no effect with 'backend: curve', which was fitted to training with {usual:g}",
        )


def _links_that_lose_everything(scenario: Scenario) -> Iterator[Finding]:
    network = scenario.network
    links: list[tuple[Path, ShapeSection]] = [
        (("network", name), getattr(network, name)) for name in ("bottleneck", "uplink", "downlink")
    ]
    links += [
        (("cameras", index, "uplink"), camera.uplink)
        for index, camera in enumerate(scenario.cameras)
        if camera.uplink is not None
    ]
    for path, shape in links:
        for key in ("loss", "corrupt"):
            if getattr(shape, key) == 1:
                yield (
                    (*path, key),
                    "of 100% lets nothing arrive during the whole run; for a link that is dead at times, "
                    "use a 'down' or 'blackhole' fault",
                )


def _cameras_with_one_picture(scenario: Scenario) -> Iterator[Finding]:
    """Cameras at one spot that see much the same. On one pole they may look into different streets."""
    for index, camera in enumerate(scenario.cameras):
        twin = next((other for other in scenario.cameras[:index] if _same_picture(camera, other)), None)
        if twin is not None:
            yield (
                ("cameras", index, "at"),
                f"is the spot of {twin.id}, which looks the same way: both send much the same picture",
            )


def _same_picture(one: CameraSection, other: CameraSection) -> bool:
    if math.dist(one.at, other.at) > _ONE_SPOT_M:
        return False
    apart = abs(_bearing_deg(one) - _bearing_deg(other)) % 360
    return min(apart, 360 - apart) < (one.source.fov + other.source.fov) / 4  # half of their mean view


def _bearing_deg(camera: CameraSection) -> float:
    (x, y), (to_x, to_y) = camera.at, camera.source.look_at
    return math.degrees(math.atan2(to_y - y, to_x - x))
