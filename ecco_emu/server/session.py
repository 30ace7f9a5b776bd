"""The server's side of one camera's connection: messages both ways, and the exchange of students' weights."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ecco_emu.core.errors import ProtocolError
from ecco_emu.core.ids import CameraId, ModelHash, model_hash
from ecco_emu.core.messages import (
    CONTROL,
    WEIGHTS,
    Assignment,
    NeedModel,
    NewStudent,
    Refused,
    Register,
    Released,
    RetrainingRequest,
    Segment,
    ServerMessage,
    Weights,
    decode_from_camera,
    encode,
)
from ecco_emu.server.models import ModelStore
from ecco_emu.transport.adapter import Peer
from ecco_emu.transport.events import MessageReceived, VideoReceived

MessageToServer = Register | RetrainingRequest | Segment


class CameraSession:
    """Handles the exchange of weights itself and passes everything else to ``deliver``."""

    def __init__(
        self,
        peer: Peer,
        models: ModelStore,
        deliver: Callable[[CameraSession, MessageToServer], Awaitable[None]],
        trouble: Callable[[str, str], None],
        weight: Callable[[float, int], float | None] = lambda p, members: None,
    ) -> None:
        """``weight`` gives a camera's weight at the bottleneck from its group's p_j and n_j."""
        self.camera = CameraId(peer.name)
        self._peer = peer
        self._models = models
        self._deliver = deliver
        self._trouble = trouble
        self._weight = weight
        self._wanted: dict[ModelHash, list[RetrainingRequest]] = {}
        """Requests that wait for their model to cross the network."""

    async def run(self) -> None:
        """Goes on until the connection closes (``ConnectionClosed``)."""
        while True:
            event = await self._peer.receive()
            try:
                match event:
                    case MessageReceived(data=data):
                        await self._handle(data)
                    case VideoReceived(data=data):
                        await self._handle_video(data)
            except ProtocolError as error:
                # a camera that says one thing wrong is noted, not disconnected: the next message may be right
                self._trouble(self.camera, str(error))

    def assign(self, assignment: Assignment) -> None:
        self._peer.weight = self._weight(assignment.p, assignment.members)
        self._say(CONTROL, assignment)

    def offer_student(self, job: str, model: ModelHash) -> None:
        self._say(CONTROL, NewStudent(job, model))

    def release(self, reason: str) -> None:
        self._peer.weight = None
        self._say(CONTROL, Released(reason[:200]))

    def refuse(self, reason: str, retry_s: float) -> None:
        self._say(CONTROL, Refused(reason[:200], retry_s))

    def _say(self, channel: int, message: ServerMessage) -> None:
        self._send(channel, encode(message))

    def _send(self, channel: int, message: bytes) -> None:
        if not self._peer.closed:  # on a closed connection ``run`` is about to end
            self._peer.send(channel, message)

    async def _handle(self, data: bytes) -> None:
        message = decode_from_camera(data)
        match message:
            case Register(camera=camera) | RetrainingRequest(camera=camera):
                self._must_be_own(camera)
                if isinstance(message, RetrainingRequest):
                    self._must_be_own(message.frames.camera)
                    if not self._have_model(message):
                        return
                await self._deliver(self, message)
            case NeedModel(model=model):
                self._send_weights(ModelHash(model))
            case Weights(model=model, data=weights):
                await self._weights_arrived(ModelHash(model), weights)
            case Segment():
                raise ProtocolError("video on a reliable channel")

    async def _handle_video(self, data: bytes) -> None:
        message = decode_from_camera(data)
        if not isinstance(message, Segment):
            raise ProtocolError(f"{type(message).__name__} sent as video")
        self._must_be_own(message.camera)
        await self._deliver(self, message)

    def _have_model(self, request: RetrainingRequest) -> bool:
        """Asks for the request's model if it is not here; the request then waits for it."""
        model = ModelHash(request.model)
        if model in self._models:
            return True
        if model not in self._wanted:
            # a camera runs one student at a time, so a request with another student replaces an older one;
            # and a peer that names ever new students cannot make this dictionary grow
            self._wanted.clear()
            self._say(CONTROL, NeedModel(model))
        self._wanted[model] = [request]
        return False

    async def _weights_arrived(self, model: ModelHash, weights: bytes) -> None:
        if model not in self._wanted:
            raise ProtocolError(f"student {model} arrived unasked")
        requests = self._wanted.pop(model)
        if model_hash(weights) != model:
            raise ProtocolError(f"student {model} arrived with other content than its hash says")
        self._models.put(weights)
        for request in requests:
            await self._deliver(self, request)

    def _send_weights(self, model: ModelHash) -> None:
        if model not in self._models:
            raise ProtocolError(f"asked for student {model}, which is not here")
        self._send(WEIGHTS, self._models.message(model))

    def _must_be_own(self, camera: str) -> None:
        # the name inside a message is the peer's claim; the connection's name was authenticated
        if camera != self.camera:
            raise ProtocolError(f"says it is {camera!r}, but authenticated as {self.camera!r}")
