"""What a scenario may say: the YAML's shape, units and limits, one line of meaning per field.

Values are held in base units (seconds, bits per second, metres, fractions) of emulated time.
Checks that need one field stand here; checks that need several are in ``_consistent`` of the
smallest model that sees them all. Reading files and naming lines is ``loading``'s work.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from ecco_emu.core import units

Weather = Literal["day", "night", "rain", "fog"]
PolicyName = Literal["ecco", "naive"]


def _percent(value: float) -> str:
    return f"{value * 100:.12g}%"


def _metres(value: float) -> str:
    return f"{value:.12g}m"


Rate = Annotated[
    float,
    BeforeValidator(units.parse_rate),
    PlainSerializer(units.format_rate, return_type=str),
    WithJsonSchema({"type": "string", "description": "a rate: 6mbit, 800kbit"}),
]
Time = Annotated[
    float,
    BeforeValidator(units.parse_time),
    PlainSerializer(units.format_time, return_type=str),
    WithJsonSchema({"type": "string", "description": "a time: 20s, 200ms"}),
]
Length = Annotated[
    float,
    BeforeValidator(units.parse_length),
    PlainSerializer(_metres, return_type=str),
    WithJsonSchema({"type": "string", "description": "a length: 12m"}),
]
Fraction = Annotated[
    float,
    BeforeValidator(units.parse_fraction),
    PlainSerializer(_percent, return_type=str),
    WithJsonSchema({"type": "string", "description": "a percentage: 0.5%"}),
    Field(ge=0, le=1),
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False)


class Clock(Strict):
    """How emulated time runs against the wall."""

    dilation: Literal["auto"] | Annotated[float, Field(ge=0.1, le=1000)] = "auto"
    """Seconds of the wall per emulated second; ``auto`` calibrates at the start."""


class Windows(Strict):
    """Retraining windows and the micro-windows they are cut into (paper section 3)."""

    count: Annotated[int, Field(ge=1, le=1000)] = 3
    length: Annotated[Time, Field(gt=0)] = 20.0
    micro: Annotated[Time, Field(gt=0)] = 2.0

    @property
    def micro_per_window(self) -> int:
        return round(self.length / self.micro)

    @property
    def duration_s(self) -> float:
        return self.count * self.length

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        parts = self.length / self.micro
        if abs(parts - round(parts)) > 1e-6 or round(parts) < 1:
            raise ValueError(
                f"length ({units.format_time(self.length)}) must be a whole number of micro-windows "
                f"({units.format_time(self.micro)})"
            )
        return self


class Policy(Strict):
    """Who trains together, who gets the GPU, who gets the bandwidth."""

    name: PolicyName = "ecco"
    size_weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    """alpha of Eq. 1: 1 weighs groups by their cameras, 0 weighs groups equally."""
    fairness: Annotated[float, Field(ge=0, le=10)] = 0.5
    """beta of Eq. 1: the weight of the worst group's accuracy."""


class Trainer(Strict):
    """The edge server's GPUs and models."""

    backend: Literal["yolo"] = "yolo"
    gpus: Annotated[int, Field(ge=1, le=64)] = 1
    student: str = "yolo11n-town"
    """A student in profiles/students/, or a path to a safetensors file."""
    teacher: str = "oracle"
    """``oracle``: the world's own labels; otherwise a path to YOLO11x weights."""
    gpu_speed: Annotated[float, Field(gt=0, le=1e6)] = 40.0
    """Images of the world's size that one GPU trains on in an emulated second."""
    batch: Annotated[int, Field(ge=1, le=256)] = 4
    """Images per GPU in one step; G GPUs make steps of G times as many."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.005
    eval_frames: Annotated[int, Field(ge=1, le=1000)] = 8
    """Newest frames of each camera that a job is measured on."""


class Grouping(Strict):
    """Algorithm 2: which retraining requests may share a job, and when a member is split off."""

    time_window: Annotated[Time, Field(ge=0)] = 30.0
    range: Annotated[Length, Field(ge=0)] = 80.0
    drop_threshold: Annotated[float, Field(ge=0, le=1)] = 0.05


class Transport(Strict):
    """Congestion control between cameras and server (paper section 3.2.2)."""

    algorithm: Literal["gaimd"] = "gaimd"
    beta: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The fraction of the window kept after a cut."""
    mapping: Literal["linear", "root", "auto"] = "linear"
    """From GPU share to alpha: ``linear`` is the paper's."""
    segment_deadline: Annotated[Time, Field(gt=0)] = 4.0
    """A video segment not delivered this long after its capture is dropped and counted."""


class Shape(Strict):
    """One direction of a link."""

    rate: Annotated[Rate, Field(ge=8e3, le=100e9)] | None = None
    delay: Annotated[Time, Field(ge=0, le=60)] = 0.0
    jitter: Annotated[Time, Field(ge=0, le=10)] = 0.0
    loss: Fraction = 0.0
    queue: Annotated[Time, Field(gt=0, le=60)] | None = None
    """How long a full queue takes to drain at ``rate``."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.jitter > self.delay:
            raise ValueError("jitter cannot be larger than delay: a packet cannot arrive before it left")
        return self


class Uplink(Shape):
    rate: Annotated[Rate, Field(ge=8e3, le=100e9)] | None = 4e6
    delay: Annotated[Time, Field(ge=0, le=60)] = 5e-3


class Network(Strict):
    """The links: each camera's uplink, the shared bottleneck to the server, and the way back."""

    engine: Literal["auto", "kernel", "relay"] = "auto"
    bottleneck: Shape = Shape.model_validate({"rate": "6mbit", "delay": "10ms", "queue": "200ms"})
    """Switch to server, shared by every camera."""
    uplink: Uplink = Uplink()
    """Camera to switch; the default for every camera. The way back has its delay and loss."""
    downlink: Shape = Shape.model_validate({"rate": "50mbit", "delay": "5ms", "queue": "200ms"})
    """Server to switch, shared by every camera."""


class WeatherChange(Strict):
    at: Annotated[Time, Field(ge=0)]
    is_: Weather = Field(alias="is")
    fade: Annotated[Time, Field(ge=0)] = 1.0
    """How long the change takes."""


class District(Strict):
    """A part of town with weather and light of its own."""

    name: Name
    center: tuple[Length, Length]
    radius: Annotated[Length, Field(gt=0)]
    weather: Annotated[tuple[WeatherChange, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        times = [change.at for change in self.weather]
        if times != sorted(set(times)):
            raise ValueError("weather changes must be in order of time, no two at once")
        if times[0] != 0:
            raise ValueError("the first weather must be at 0s")
        return self


class Town(Strict):
    """A rendered town: roads, buildings, trees, cars, trucks, pedestrians."""

    seed: Annotated[int, Field(ge=0)] = 1
    size: Annotated[Length, Field(ge=60, le=2000)] = 300.0
    """Side of the square town, centred on (0 m, 0 m)."""
    cars: Annotated[int, Field(ge=0, le=500)] = 60
    trucks: Annotated[int, Field(ge=0, le=200)] = 16
    pedestrians: Annotated[int, Field(ge=0, le=1000)] = 120
    districts: Annotated[tuple[District, ...], Field(min_length=1)]


class World(Strict):
    town: Town


class Source(Strict):
    """What a camera sees and how it may sample it."""

    look_at: tuple[Length, Length]
    height: Annotated[Length, Field(gt=0.5, le=100)] = 8.0
    fov: Annotated[float, Field(ge=20, le=120)] = 70.0
    """Horizontal field of view in degrees."""
    fps: Annotated[float, Field(gt=0, le=60)] = 10.0
    """Frame clock: the most the camera can sample."""
    size: tuple[Annotated[int, Field(ge=64, le=1920)], Annotated[int, Field(ge=64, le=1088)]] = (
        320,
        192,
    )
    """Width and height in pixels, each a multiple of 32."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.size[0] % 32 or self.size[1] % 32:
            raise ValueError("width and height must be multiples of 32, the detector's stride")
        return self


class Drift(Strict):
    """How a camera notices drift without labels."""

    detector: Literal["page-hinkley", "adwin", "kswin", "oracle"] = "page-hinkley"
    infer_fps: Annotated[float, Field(gt=0, le=60)] = 4.0
    """How many frames a second the camera's student looks at."""
    confirm: Annotated[Time, Field(ge=0)] = 1.0
    """The alarm must last this long before a request is sent."""


class Camera(Strict):
    id: Name
    at: tuple[Length, Length]
    source: Source
    uplink: Uplink | None = None
    """Overrides of network.uplink for this camera."""


class Down(Strict):
    for_: Annotated[Time, Field(gt=0)] | None = Field(default=None, alias="for")
    """How long; without it, until an ``up`` or the end of the run."""


class SetShape(Strict):
    rate: Annotated[Rate, Field(ge=8e3, le=100e9)]


class Fault(Strict):
    """Something that goes wrong on a link at a time: exactly one of down, up, set."""

    at: Annotated[Time, Field(ge=0)]
    on: str
    """A camera's id (its uplink, both directions), ``bottleneck`` or ``downlink``."""
    down: Down | None = None
    up: Literal[True] | None = None
    set: SetShape | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(action is not None for action in (self.down, self.up, self.set)) != 1:
            raise ValueError("a fault does exactly one of: down, up, set")
        return self


class Expectation(Strict):
    """What must hold. ``camera`` delivers segments after a moment, or gains accuracy by the end."""

    camera: str
    within: Annotated[Time, Field(gt=0)] | None = None
    of: str | None = None
    """A moment: ``fault[N].start``, ``fault[N].end``, ``start`` or a time such as ``25s``."""
    delivers: str | None = None
    """A comparison such as ``'>= 1 segment'``."""
    map: str | None = None
    """A comparison such as ``'>= 0.3'`` of the camera's accuracy at the end of the run."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.delivers is None) == (self.map is None):
            raise ValueError("an expectation has exactly one of: delivers, map")
        if self.delivers is not None and (self.within is None or self.of is None):
            raise ValueError("'delivers' needs 'within' (a time) and 'of' (a moment)")
        return self


class Scenario(Strict):
    """A whole run."""

    version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    clock: Clock = Clock()
    windows: Windows = Windows()
    policy: Policy = Policy()
    task: Literal["detection"] = "detection"
    trainer: Trainer = Trainer()
    grouping: Grouping = Grouping()
    drift: Drift = Drift()
    transport: Transport = Transport()
    network: Network = Network()
    world: World
    cameras: Annotated[tuple[Camera, ...], Field(min_length=1, max_length=256)]
    faults: tuple[Fault, ...] = ()
    expect: tuple[Expectation, ...] = ()

    def uplink_of(self, camera: Camera) -> Uplink:
        """The camera's uplink: network.uplink with what the camera overrides."""
        if camera.uplink is None:
            return self.network.uplink
        overrides = {name: getattr(camera.uplink, name) for name in camera.uplink.model_fields_set}
        return self.network.uplink.model_copy(update=overrides)
