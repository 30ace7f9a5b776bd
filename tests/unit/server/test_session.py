"""What the server believes of a camera's messages, and how students cross: attackers included."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecco_emu.core.ids import model_hash
from ecco_emu.core.messages import (
    CONTROL,
    WEIGHTS,
    NeedModel,
    Register,
    RetrainingRequest,
    Segment,
    Weights,
    decode_from_server,
    encode,
)
from ecco_emu.server.models import ModelStore
from ecco_emu.server.session import CameraSession, MessageToServer
from ecco_emu.transport.events import ConnectionClosed, Delivery, MessageReceived, VideoReceived

HERE, THERE = b"a student the server has", b"a student only the camera has"


class ScriptedPeer:
    """Delivers what it was given, then closes."""

    name = "cam1"
    closed = False

    def __init__(self, deliveries: list[Delivery]) -> None:
        self._deliveries = deliveries
        self.sent: list[tuple[int, object]] = []

    async def receive(self) -> Delivery:
        if not self._deliveries:
            raise ConnectionClosed("the script is over")
        return self._deliveries.pop(0)

    def send(self, channel: int, message: bytes) -> None:
        self.sent.append((channel, decode_from_server(message)))


def segment(camera: str = "cam1") -> Segment:
    return Segment(
        camera=camera,
        sequence=0,
        fps=4.0,
        width=320,
        height=192,
        indices=[0, 2],
        t0=0.0,
        frame_clock_fps=10.0,
        data=b"x",
    )


def request(model: bytes, camera: str = "cam1") -> RetrainingRequest:
    return RetrainingRequest(camera, 1.0, (0.0, 0.0), model_hash(model), 0.0, segment(camera))


def control(message: object) -> MessageReceived:
    return MessageReceived(CONTROL, encode(message))  # type: ignore[arg-type]


async def converse(
    tmp_path: Path, *deliveries: Delivery
) -> tuple[list[tuple[int, object]], list[MessageToServer], list[str]]:
    models = ModelStore(tmp_path)
    models.put(HERE)
    peer = ScriptedPeer(list(deliveries))
    delivered: list[MessageToServer] = []
    troubles: list[str] = []

    async def deliver(session: CameraSession, message: MessageToServer) -> None:
        delivered.append(message)

    session = CameraSession(peer, models, deliver, lambda where, text: troubles.append(text))  # type: ignore[arg-type]
    with pytest.raises(ConnectionClosed):
        await session.run()
    return peer.sent, delivered, troubles


async def test_a_request_with_a_known_model_goes_through(tmp_path: Path) -> None:
    sent, delivered, troubles = await converse(tmp_path, control(request(HERE)))
    assert (sent, delivered, troubles) == ([], [request(HERE)], [])


async def test_a_model_the_server_lacks_is_asked_for_once_and_the_request_waits(tmp_path: Path) -> None:
    model = model_hash(THERE)
    sent, delivered, troubles = await converse(
        tmp_path,
        control(request(THERE)),
        control(request(THERE)),
        MessageReceived(WEIGHTS, encode(Weights(model, THERE))),
    )
    assert sent == [(CONTROL, NeedModel(model))]
    assert delivered == [request(THERE)]
    assert troubles == []
    assert ModelStore(tmp_path).get(model) == THERE


async def test_a_student_is_sent_to_who_asks_and_only_if_it_is_there(tmp_path: Path) -> None:
    sent, _, troubles = await converse(
        tmp_path, control(NeedModel(model_hash(HERE))), control(NeedModel(model_hash(THERE)))
    )
    assert sent == [(WEIGHTS, Weights(model_hash(HERE), HERE))]
    assert len(troubles) == 1


@pytest.mark.parametrize(
    "delivery",
    [
        control(Register("cam2", (0.0, 0.0), "0" * 16)),
        control(request(HERE, camera="cam2")),
        control(Weights(model_hash(THERE), THERE)),
        control(segment()),
        VideoReceived(0, encode(segment("cam2"))),
        VideoReceived(0, encode(Register("cam1", (0.0, 0.0), "0" * 16))),
        MessageReceived(CONTROL, b"\xc1 not msgpack"),
        VideoReceived(0, b""),
    ],
    ids=["register as another", "request as another", "weights unasked", "video as control",
         "video of another", "control as video", "garbage", "empty"],
)  # fmt: skip
async def test_what_a_camera_may_not_say_is_dropped_and_noted(tmp_path: Path, delivery: Delivery) -> None:
    sent, delivered, troubles = await converse(tmp_path, delivery, control(request(HERE)))
    assert sent == []
    assert delivered == [request(HERE)]  # the session goes on
    assert len(troubles) == 1


async def test_weights_of_other_content_than_their_hash_are_refused(tmp_path: Path) -> None:
    forged = MessageReceived(WEIGHTS, encode(Weights(model_hash(THERE), b"something else")))
    _, delivered, troubles = await converse(tmp_path, control(request(THERE)), forged)
    assert delivered == []
    assert "other content" in troubles[0]
    assert model_hash(THERE) not in ModelStore(tmp_path)
