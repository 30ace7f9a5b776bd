"""A whole scenario: the sections of the YAML put together.

Values are in base units (seconds, bits per second, metres, fractions) of emulated time. A check of one field
stands beside the field in its section. A check of several fields is in ``_consistent`` of the smallest model
that has them all; a check of the whole scenario is in ``semantics``. ``loading`` reads files and finds lines.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ecco_emu.control.lifecycle import RecoveryRule
from ecco_emu.control.sampling import SamplingTable, pixels_per_level
from ecco_emu.core.ids import CameraId
from ecco_emu.policies.base import PolicySetup
from ecco_emu.scenario import profiles
from ecco_emu.scenario.sections.base import Strict, Whole
from ecco_emu.scenario.sections.cameras import CameraSection
from ecco_emu.scenario.sections.clock import ClockSection
from ecco_emu.scenario.sections.drift import DriftSection
from ecco_emu.scenario.sections.expect import ExpectationSection
from ecco_emu.scenario.sections.faults import FaultSection
from ecco_emu.scenario.sections.grouping import GroupingSection
from ecco_emu.scenario.sections.network import NetworkSection, UplinkSection
from ecco_emu.scenario.sections.policy import PolicySection
from ecco_emu.scenario.sections.record import RecordSection
from ecco_emu.scenario.sections.trainer import TrainerSection
from ecco_emu.scenario.sections.transport import TransportSection
from ecco_emu.scenario.sections.windows import WindowsSection
from ecco_emu.scenario.sections.world import WorldSection

MOST_CAMERAS = 1000
"""With the server a lab has one link more, and its switch bears 1023 (``netns.MAX_LINKS``)."""


class Scenario(Strict):
    """A whole run."""

    version: Literal[1]
    """Version of this format: 1."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """Name of the run, which its directory gets too."""
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = 0
    """Seed of everything random in the run. The town's buildings and traffic follow from it and from the
    town's own."""
    clock: ClockSection = ClockSection()
    """Emulated time against the wall."""
    windows: WindowsSection = WindowsSection()
    """Retraining windows and micro-windows."""
    policy: PolicySection = PolicySection()
    """Which cameras train together, and how they share GPU time and bandwidth."""
    task: Literal["detection"] = "detection"
    """The student's task."""
    trainer: TrainerSection = TrainerSection()
    """GPUs and models."""
    grouping: GroupingSection = GroupingSection()
    """Which cameras may share a retraining job."""
    drift: DriftSection = DriftSection()
    """How cameras notice drift."""
    transport: TransportSection = TransportSection()
    """Congestion control."""
    network: NetworkSection = NetworkSection()
    """The links."""
    world: WorldSection
    """The source of frames and labels."""
    cameras: Annotated[tuple[CameraSection, ...], Field(min_length=1, max_length=MOST_CAMERAS)]
    """The cameras."""
    faults: tuple[FaultSection, ...] = ()
    """Things that go wrong, each at its time."""
    expect: tuple[ExpectationSection, ...] = ()
    """Conditions that the run must meet; if it fails one, the command exits with 1."""
    record: RecordSection = RecordSection()
    """What counts as an answer."""

    @property
    def simulated(self) -> bool:
        """Whether links and clock are simulated."""
        return self.network.engine == "simulated"

    @property
    def dilation(self) -> float | Literal["auto"]:
        """Seconds of the wall that an emulated second lasts. 1 in a simulated run, which has no wall."""
        return 1.0 if self.simulated else self.clock.dilation

    @property
    def training_threads(self) -> int | None:
        """Threads of torch; None leaves it to the host."""
        return self.trainer.threads or (1 if self.simulated else None)

    @property
    def policy_setup(self) -> PolicySetup:
        """The settings that the policy is made with."""
        return PolicySetup(
            gpus=self.trainer.gpus,
            micro_windows=self.windows.micro_per_window,
            size_weight=self.policy.size_weight,
            fairness=self.policy.fairness,
            recovery=RecoveryRule(self.grouping.recovered, self.grouping.flat_gain),
            pixels_per_s_per_level=self.pixels_per_s_per_level,
            tables=self.sampling_tables(),
            mapping=self.transport.mapping,
        )

    def sampling_tables(self) -> dict[CameraId, SamplingTable]:
        """By camera that has one: the sampling table that it or trainer.table names.

        Raises ``ScenarioError`` for a file that is gone or wrong.
        """
        named = {camera.id: camera.source.table or self.trainer.table for camera in self.cameras}
        files = {name: profiles.sampling_table(name) for name in set(named.values()) if name is not None}
        return {CameraId(camera): files[name] for camera, name in named.items() if name is not None}

    @property
    def pixels_per_s_per_level(self) -> float:
        """Pixels per emulated second that one GPU micro-window per retraining window can train on."""
        return pixels_per_level(self.trainer.gpu_speed, self.windows.micro, self.windows.length)

    @property
    def micro_budget(self) -> float:
        """Reference images that all GPUs together train on in a micro-window."""
        return self.trainer.gpus * self.trainer.gpu_speed * self.windows.micro

    def uplink_of(self, camera: CameraSection) -> UplinkSection:
        """The camera's uplink: network.uplink with the keys that the camera overrides."""
        if camera.uplink is None:
            return self.network.uplink
        return camera.uplink.over(self.network.uplink)
