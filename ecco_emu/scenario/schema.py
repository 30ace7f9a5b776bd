"""What a scenario may say: the YAML's shape, units and limits, one line of meaning per field.

Values are held in base units (seconds, bits per second, metres, fractions) of emulated time.
Checks that need one field stand here; checks that need several are in ``_consistent`` of the
smallest model that sees them all, or in ``semantics`` when they need the whole scenario. Reading files
and naming lines is ``loading``'s work.
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
    PlainSerializer(units.format_length, return_type=str),
    WithJsonSchema({"type": "string", "description": "a length: 12m"}),
]
Fraction = Annotated[
    float,
    BeforeValidator(units.parse_fraction),
    PlainSerializer(units.format_fraction, return_type=str),
    WithJsonSchema({"type": "string", "description": "a percentage: 0.5%"}),
    Field(ge=0, le=1),
]
Whole = Annotated[int, Field(strict=True)]
"""A whole number, written as one: neither ``true`` nor ``"3"``."""
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")]


class Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=False, use_attribute_docstrings=True
    )


def _dilation(value: object) -> object:
    if value == "auto":
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.1 <= value <= 1000:
        raise ValueError(f"{value!r} is not a dilation: it is auto, or a number from 0.1 to 1000")
    return float(value)


class Clock(Strict):
    """How emulated time runs against the wall."""

    dilation: Annotated[float | Literal["auto"], BeforeValidator(_dilation)] = "auto"
    """Seconds of the wall per emulated second; ``auto`` calibrates at the start."""


class Windows(Strict):
    """Retraining windows and the micro-windows they are cut into (paper section 3)."""

    count: Annotated[Whole, Field(ge=1, le=1000)] = 3
    """How many retraining windows; the run lasts count × length."""
    length: Annotated[Time, Field(gt=0)] = 20.0
    """One retraining window."""
    micro: Annotated[Time, Field(gt=0)] = 2.0
    """One micro-window: the smallest piece of GPU time a job gets. It divides length."""

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
    """``ecco``: groups, Algorithm 1, GAIMD. ``naive``: one job per camera, equal shares."""
    size_weight: Annotated[Number, Field(ge=0, le=1)] = 0.5
    """alpha of Eq. 1: 1 weighs groups by their cameras, 0 weighs groups equally."""
    fairness: Annotated[Number, Field(ge=0, le=10)] = 0.5
    """beta of Eq. 1: the weight of the worst group's accuracy."""


class Trainer(Strict):
    """The edge server's GPUs and models."""

    backend: Literal["yolo"] = "yolo"
    """``yolo``: real training of a YOLO11n student."""
    gpus: Annotated[Whole, Field(ge=1, le=64)] = 1
    """GPUs of the edge server, virtual ones where the host has fewer (a larger batch per step)."""
    student: str = "yolo11n-town"
    """A student in profiles/students/, or a path to a safetensors file."""
    teacher: str = "oracle"
    """``oracle``: the world's own labels; otherwise a path to YOLO11x weights."""
    gpu_speed: Annotated[Number, Field(gt=0, le=1e6)] = 40.0
    """Images of the world's size that one GPU trains on in an emulated second."""
    batch: Annotated[Whole, Field(ge=1, le=256)] = 4
    """Images per GPU in one step; G GPUs make steps of G times as many."""
    learning_rate: Annotated[Number, Field(gt=0, le=1)] = 0.0005
    """Of AdamW."""
    eval_frames: Annotated[Whole, Field(ge=1, le=1000)] = 8
    """Newest frames of each camera that a job is measured on."""


class Grouping(Strict):
    """Algorithm 2: which retraining requests may share a job, and when a member is split off."""

    time_window: Annotated[Time, Field(ge=0)] = 30.0
    """Requests further apart in time than this never share a job."""
    range: Annotated[Length, Field(ge=0)] = 80.0
    """Cameras further apart than this never share a job."""
    min_gain: Annotated[Number, Field(ge=-1, le=1)] = 0.0
    """A request joins a job whose model beats its own by at least this much mAP."""
    drop_threshold: Annotated[Number, Field(ge=0, le=1)] = 0.05
    """A member whose mAP falls by more than this over a window leaves its group."""


class Transport(Strict):
    """Congestion control between cameras and server (paper section 3.2.2)."""

    algorithm: Literal["gaimd", "cubic", "fixed"] = "gaimd"
    """``gaimd``: general AIMD, alpha from the GPU share, beta fixed. To compare with: ``cubic`` (RFC 9438),
    and ``fixed``, which sends at ``fixed_rate`` whatever the path does. They know no shares."""
    fixed_rate: Rate = 1e6
    """What each camera sends at with ``fixed``."""
    beta: Annotated[Number, Field(gt=0, lt=1)] = 0.5
    """The fraction of the window kept after a cut."""
    mapping: Literal["linear", "root", "auto"] = "auto"
    """From GPU share to alpha: ``linear`` is the paper's, ``root`` squares it for paths with random loss,
    ``auto`` follows what the server sees each camera get, which holds the shares on any queue."""
    download_alpha: Annotated[Number, Field(gt=0, le=100)] = 8.0
    """GAIMD's alpha of each camera's download. Students are large, and their acknowledgements queue behind
    video at the bottleneck: at 1, a quarter of a second's round trip leaves most of a downlink unused."""
    segment_deadline: Annotated[Time, Field(gt=0)] = 4.0
    """A video segment not delivered this long after its capture is dropped and counted."""
    qlog: Annotated[bool, Field(strict=True)] = True
    """Writes a trace of every connection into the run's qlog/, for qvis: about 0.5 kB and 10 µs a packet."""


class BurstLoss(Strict):
    """Losses that come in bursts (Gilbert and Elliott's two states)."""

    mean: Annotated[Fraction, Field(gt=0, lt=1)]
    """Packets lost in the long run."""
    packets: Annotated[Number, Field(ge=1, le=1e6)]
    """How many packets in a row a burst loses on average."""


class LinkTrace(Strict):
    """A recorded or made course of a link's rate, and of delay and loss where the file has such."""

    file: str
    """A trace in profiles/links/, or a path to a file in Mahimahi's format or in CSV."""
    loop: bool = True
    """Begin again at its end; without it, the link stays as the trace ends."""
    start: Annotated[Time, Field(ge=0)] = 0.0
    """How far into the trace the link begins, so that cameras need not all fade together."""


def _bare_trace(value: object) -> object:
    return {"file": value} if isinstance(value, str) else value


class Shape(Strict):
    """One direction of a link."""

    rate: Annotated[Rate, Field(ge=8e3, le=100e9)] | None = None
    """Capacity; null: not limited."""
    delay: Annotated[Time, Field(ge=0, le=60)] = 0.0
    """Propagation delay, one way."""
    jitter: Annotated[Time, Field(ge=0, le=10)] = 0.0
    """The delay varies by as much as this either way; packets keep their order."""
    jitter_distribution: Literal["uniform", "normal", "pareto"] = "uniform"
    """How the delay varies. For ``normal`` and ``pareto`` the jitter is the standard deviation."""
    loss: Fraction = 0.0
    """Packets lost at random."""
    burst_loss: BurstLoss | None = None
    """Packets lost in bursts, in place of ``loss``."""
    reorder: Fraction = 0.0
    """Packets that skip the delay and so overtake others."""
    duplicate: Fraction = 0.0
    """Packets that arrive twice."""
    corrupt: Fraction = 0.0
    """Packets of which one bit arrives inverted, which a checksum then finds."""
    queue: Annotated[Time, Field(gt=0, le=60)] | None = None
    """How long a full queue takes to drain at ``rate``; null: the engine's usual queue."""
    trace: Annotated[
        LinkTrace | None, BeforeValidator(_bare_trace, json_schema_input_type=LinkTrace | str | None)
    ] = None
    """A trace that sets the rate as it goes: a name or path, or a mapping."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.jitter > self.delay:
            raise ValueError("jitter cannot be larger than delay: a packet cannot arrive before it left")
        if self.reorder and not self.delay:
            raise ValueError("reorder needs a delay: it lets packets overtake those that are delayed")
        _either_loss(self.loss, self.burst_loss)
        return self


def _either_loss(loss: float | None, burst: BurstLoss | None) -> None:
    if loss and burst is not None:
        raise ValueError("a link has loss or burst_loss, not both")


class Uplink(Shape):
    """A camera's own link to the switch."""

    rate: Annotated[Rate, Field(ge=8e3, le=100e9)] | None = 4e6
    """Capacity; null: not limited."""
    delay: Annotated[Time, Field(ge=0, le=60)] = 5e-3
    """Propagation delay, one way."""


class CameraUplink(Uplink):
    """What one camera's uplink has different from network.uplink; only the keys given count."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        # jitter may be larger than the default delay: network.uplink's may be larger still
        _either_loss(self.loss, self.burst_loss)
        return self

    def over(self, default: Uplink) -> Uplink:
        """The whole uplink: ``default`` with what is given here. One kind of loss takes the other's place."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if given.get("burst_loss") is not None:
            given.setdefault("loss", 0.0)
        if given.get("loss"):
            given.setdefault("burst_loss", None)
        return default.model_copy(update=given)


class Bottleneck(Shape):
    """The link every camera's video crosses."""

    rate: Annotated[Rate, Field(ge=8e3, le=100e9)] | None = 6e6
    """Capacity; null: not limited."""
    delay: Annotated[Time, Field(ge=0, le=60)] = 10e-3
    """Propagation delay, one way."""
    queue: Annotated[Time, Field(gt=0, le=60)] | None = 0.2
    """How long a full queue takes to drain at ``rate``; null: the engine's usual queue."""


class Downlink(Shape):
    """The link back, which carries acknowledgements, assignments and students."""

    rate: Annotated[Rate, Field(ge=8e3, le=100e9)] | None = 50e6
    """Capacity; null: not limited."""
    delay: Annotated[Time, Field(ge=0, le=60)] = 5e-3
    """Propagation delay, one way."""
    queue: Annotated[Time, Field(gt=0, le=60)] | None = 0.2
    """How long a full queue takes to drain at ``rate``; null: the engine's usual queue."""


class Network(Strict):
    """The links: each camera's uplink, the shared bottleneck to the server, and the way back."""

    engine: Literal["auto", "kernel", "relay"] = "auto"
    """What makes delay and loss: ``kernel`` (netem), ``relay`` (a process), ``auto``: what the host has."""
    bottleneck: Bottleneck = Bottleneck()
    """Switch to server, shared by every camera."""
    uplink: Uplink = Uplink()
    """Camera to switch; the default for every camera. The way back has its delay and loss."""
    downlink: Downlink = Downlink()
    """Server to switch, shared by every camera."""


class WeatherChange(Strict):
    """From a time on, another weather."""

    at: Annotated[Time, Field(ge=0)]
    """When it begins to change; the first is at 0s."""
    is_: Weather = Field(alias="is")
    """``day``, ``night``, ``rain`` or ``fog``."""
    fade: Annotated[Time, Field(ge=0)] = 1.0
    """How long the change takes."""


class District(Strict):
    """A part of town with weather and light of its own."""

    name: Name
    """The district's name, one of its own."""
    center: tuple[Length, Length]
    """Its middle: x to the east, y to the north, from the middle of the town."""
    radius: Annotated[Length, Field(gt=0)]
    """How far it reaches."""
    weather: Annotated[tuple[WeatherChange, ...], Field(min_length=1)]
    """Its weather over time, in order."""

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

    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = 1
    """Which town: streets, buildings and traffic follow from it."""
    size: Annotated[Length, Field(ge=60, le=2000)] = 300.0
    """Side of the square town, centred on (0 m, 0 m)."""
    cars: Annotated[Whole, Field(ge=0, le=500)] = 60
    """Cars in the whole town."""
    trucks: Annotated[Whole, Field(ge=0, le=200)] = 16
    """Trucks in the whole town."""
    pedestrians: Annotated[Whole, Field(ge=0, le=1000)] = 120
    """Pedestrians in the whole town."""
    districts: Annotated[tuple[District, ...], Field(min_length=1)]
    """Parts of the town with a weather of their own."""


class World(Strict):
    """Where frames and labels come from."""

    town: Town
    """A rendered town."""


class Source(Strict):
    """What a camera sees and how it may sample it."""

    look_at: tuple[Length, Length]
    """The point on the ground in the middle of the picture."""
    height: Annotated[Length, Field(gt=0.5, le=100)] = 8.0
    """Of the camera over the ground."""
    fov: Annotated[Number, Field(ge=20, le=120)] = 70.0
    """Horizontal field of view in degrees."""
    fps: Annotated[Number, Field(gt=0, le=60)] = 10.0
    """Frame clock: the most the camera can sample."""
    size: tuple[Annotated[Whole, Field(ge=64, le=1920)], Annotated[Whole, Field(ge=64, le=1088)]] = (
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
    """The test on the student's confidence; ``oracle`` is told by the world."""
    infer_fps: Annotated[Number, Field(gt=0, le=60)] = 4.0
    """How many frames a second the camera's student looks at."""
    confirm: Annotated[Time, Field(ge=0)] = 1.0
    """The alarm must last this long before a request is sent."""


class Camera(Strict):
    """One camera: where it stands, what it sees, how it is connected."""

    id: Name
    """Its name, one of its own; not server, bottleneck, downlink or switch."""
    at: tuple[Length, Length]
    """Where it stands: x to the east, y to the north, from the middle of the town."""
    source: Source
    """What it sees."""
    uplink: CameraUplink | None = None
    """Overrides of network.uplink for this camera; keys left out are as there."""


class Down(Strict):
    """The link carries nothing, either way."""

    for_: Annotated[Time, Field(gt=0)] | None = Field(default=None, alias="for")
    """How long; without it, until an ``up`` or the end of the run."""


def _bare_down(value: object) -> object:
    return {} if value is True else value


class Flap(Strict):
    """The link goes down and up, over and over: ``times``, or as long as ``for``."""

    down: Annotated[Time, Field(gt=0)]
    """How long it is down each time."""
    up: Annotated[Time, Field(gt=0)]
    """How long it is up in between."""
    times: Annotated[Whole, Field(ge=1, le=1000)] | None = None
    """How many times it goes down."""
    for_: Annotated[Time, Field(gt=0)] | None = Field(default=None, alias="for")
    """How long it goes on; the link is up afterwards."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.times is None) == (self.for_ is None):
            raise ValueError("a flap has exactly one of: times, for")
        return self


class Cliff(Strict):
    """The link's rate falls off: it has at most this much for a time, whatever else is set or traced."""

    rate: Annotated[Rate, Field(ge=8e3, le=100e9)]
    """The most it has."""
    for_: Annotated[Time, Field(gt=0)] | None = Field(default=None, alias="for")
    """How long; without it, until the end of the run."""


class Partition(Strict):
    """Nodes of different sets do not reach each other, and nobody is told."""

    sets: Annotated[tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...], Field(min_length=2)]
    """Two lists or more of cameras and ``server``; a node in none of them reaches all."""
    for_: Annotated[Time, Field(gt=0)] | None = Field(default=None, alias="for")
    """How long; without it, until the end of the run."""


class Blackhole(Strict):
    """Packets vanish in one direction only, and nobody is told."""

    direction: Literal["up", "down"] = "up"
    """``up``: what the camera sends; ``down``: what is sent to it. A shared link has but one direction."""
    for_: Annotated[Time, Field(gt=0)] | None = Field(default=None, alias="for")
    """How long; without it, until the end of the run."""


class SetShape(Strict):
    """The link changes, for good or until the next ``set``. What is left out stays."""

    rate: Annotated[Rate, Field(ge=8e3, le=100e9)] | None = None
    """The new capacity."""
    delay: Annotated[Time, Field(ge=0, le=60)] | None = None
    """The new propagation delay; of a camera's uplink, both ways."""
    jitter: Annotated[Time, Field(ge=0, le=10)] | None = None
    """How much the delay varies from now on."""
    loss: Fraction | None = None
    """Packets lost at random, in place of those lost in bursts."""
    burst_loss: BurstLoss | None = None
    """Packets lost in bursts, in place of those lost at random."""
    duplicate: Fraction | None = None
    """Packets that arrive twice."""
    corrupt: Fraction | None = None
    """Packets of which one bit arrives inverted."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"changes nothing; give one of: {', '.join(type(self).model_fields)}")
        nothing = sorted(key for key in self.model_fields_set if getattr(self, key) is None)
        if nothing:
            raise ValueError(f"{', '.join(nothing)}: nothing is given; leave out what is to stay")
        _either_loss(self.loss, self.burst_loss)
        return self

    @property
    def impairs(self) -> bool:
        """It changes more than the rate."""
        return bool(self.model_fields_set - {"rate"})


FaultKind = Literal["down", "up", "flap", "cliff", "partition", "blackhole", "set"]
FAULT_KINDS: tuple[FaultKind, ...] = ("down", "up", "flap", "cliff", "partition", "blackhole", "set")


class Fault(Strict):
    """Something that goes wrong at a time: exactly one of the kinds below."""

    at: Annotated[Time, Field(ge=0)]
    """When."""
    on: str | None = None
    """A camera's id (its uplink, both directions), ``bottleneck`` or ``downlink``; a partition has none."""
    down: Annotated[Down | None, BeforeValidator(_bare_down)] = None
    """Cut the link; ``{for: 5s}`` mends it by itself."""
    up: Literal[True] | None = None
    """Mend a link that is down."""
    flap: Flap | None = None
    """Cut and mend the link over and over."""
    cliff: Cliff | None = None
    """Cap the link's rate for a time."""
    partition: Partition | None = None
    """Separate sets of nodes."""
    blackhole: Blackhole | None = None
    """Lose everything in one direction."""
    set: SetShape | None = None
    """Change the link's rate, delay, jitter or loss."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in FAULT_KINDS) != 1:
            raise ValueError(f"a fault does exactly one of: {', '.join(FAULT_KINDS)}")
        if self.partition is not None and self.on is not None:
            raise ValueError("a partition is between sets of nodes: leave out 'on'")
        if self.partition is None and self.on is None:
            raise ValueError("is on no link: give 'on' (a camera's id, bottleneck or downlink)")
        return self

    @property
    def kind(self) -> FaultKind:
        return next(kind for kind in FAULT_KINDS if getattr(self, kind) is not None)

    @property
    def where(self) -> str:
        """The link it is on, or a partition's sets: ``cam1, cam2 / server``."""
        if self.partition is not None:
            return " / ".join(", ".join(nodes) for nodes in self.partition.sets)
        return self.on or ""


class Expectation(Strict):
    """What must hold. ``camera`` delivers segments after a moment, or gains accuracy by the end."""

    camera: str
    """The camera it is about."""
    within: Annotated[Time, Field(gt=0)] | None = None
    """How long after the moment ``of`` the camera has."""
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
    """Of this format: 1."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """Names the run's directory."""
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = 0
    """Of everything random in the run but the town."""
    clock: Clock = Clock()
    """Emulated time against the wall."""
    windows: Windows = Windows()
    """Retraining windows and micro-windows."""
    policy: Policy = Policy()
    """Who trains together, who gets the GPU, who gets the bandwidth."""
    task: Literal["detection"] = "detection"
    """What the student does."""
    trainer: Trainer = Trainer()
    """GPUs and models."""
    grouping: Grouping = Grouping()
    """Which cameras may share a retraining job."""
    drift: Drift = Drift()
    """How cameras notice drift."""
    transport: Transport = Transport()
    """Congestion control."""
    network: Network = Network()
    """The links."""
    world: World
    """Where frames and labels come from."""
    cameras: Annotated[tuple[Camera, ...], Field(min_length=1, max_length=256)]
    """The cameras."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong, and when."""
    expect: tuple[Expectation, ...] = ()
    """What must hold; a run where something does not exits with 1."""

    def uplink_of(self, camera: Camera) -> Uplink:
        """The camera's uplink: network.uplink with what the camera overrides."""
        if camera.uplink is None:
            return self.network.uplink
        return camera.uplink.over(self.network.uplink)
