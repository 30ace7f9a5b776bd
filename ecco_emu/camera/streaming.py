"""From sampled frames to video on the network: segments, their budget of bits, deadlines and outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ecco_emu.camera.budget import Opening, segment_budget_bits
from ecco_emu.control.transmission import TransmissionPlan
from ecco_emu.core.clock import Clock
from ecco_emu.core.events import AnyEvent, SegmentMoved, SegmentState
from ecco_emu.core.frames import Frame
from ecco_emu.core.ids import CameraId
from ecco_emu.core.messages import Segment, encode
from ecco_emu.transport.adapter import Peer
from ecco_emu.transport.events import VideoOutcome
from ecco_emu.video.codec import Codec
from ecco_emu.video.messages import to_message
from ecco_emu.video.segmenter import Segmenter


def segment_deadline(captured: float, duration_s: float, deadline_s: float) -> float:
    """When a segment of ``duration_s`` must have arrived; its last frame was captured at ``captured``.

    It can be sent once its last frame is there, and its bits are ``duration_s`` of the allowed rate. So a
    segment of several seconds takes as long on its way: with no more time than a segment of one second has,
    it would be late by construction.

    >>> segment_deadline(10.0, 1.0, 4.0), segment_deadline(10.0, 8.0, 4.0)
    (14.0, 21.0)
    """
    return captured + deadline_s + max(0.0, duration_s - 1.0)


class SegmentSender:
    """Collects frames into segments and sends each segment with a deadline (``segment_deadline``).

    Each segment is reported to ``emit`` when it is sent and when its outcome is known.
    """

    def __init__(
        self,
        camera: CameraId,
        *,
        codec: Codec,
        clock: Clock,
        frame_clock_fps: float,
        deadline_s: float,
        emit: Callable[[AnyEvent], None],
    ) -> None:
        self._camera = camera
        self._codec = codec
        self._clock = clock
        self._frame_clock_fps = frame_clock_fps
        self._deadline_s = deadline_s
        self._emit = emit
        self._segmenter: Segmenter | None = None
        self._stream = codec.stream()
        self._opening: tuple[Peer, Opening] | None = None
        self._sequence = 0
        self._ended = False

    def end(self) -> None:
        """The run is over: segments still on their way are reported neither as delivered nor as lost."""
        self._ended = True

    def restart(self) -> None:
        """Forgets a half-collected segment: the camera stopped streaming."""
        self._segmenter = None

    async def offer(self, frame: Frame, plan: TransmissionPlan, peer: Peer | None) -> None:
        """Takes the next sampled frame; sends a segment when it is complete. Without ``peer`` it is lost."""
        if self._segmenter is None:
            self._segmenter = Segmenter(plan.fps)
        # A new plan may end the segment in hand, whose frames were taken at the old rate. And this frame may
        # be a whole segment.
        fps = self._segmenter.fps
        if (cut := self._segmenter.reconfigure(plan.fps)) is not None:
            await self._send(cut, replace(plan, fps=fps), peer)
        if (finished := self._segmenter.add(frame)) is not None:
            await self._send(finished, plan, peer)

    async def _send(self, frames: Sequence[Frame], plan: TransmissionPlan, peer: Peer | None) -> None:
        # Without a connection a segment is not kept: it would be past its deadline before there is one.
        if peer is None:
            self._report("lost", self._next_sequence(), len(frames), 0)
            return
        # A segment that was ended early lasts less than a second, and so does its part of the rate; at less
        # than a frame a second it lasts longer.
        duration_s = len(frames) / plan.fps
        budget = segment_budget_bits(
            allowed_bps=peer.allowed_rate_bps,
            backlog_bytes=peer.video_backlog_bytes,
            duration_s=duration_s,
        )
        if self._opening is None or self._opening[0] is not peer:
            self._opening = peer, Opening()
        budget = self._opening[1].bounded(budget)
        images = [frame.image for frame in frames]
        coded = await self._stream.encode(
            images, round(budget), width=plan.width, height=plan.height, fps=plan.fps
        )
        sequence = self._next_sequence()
        segment = to_message(coded, frames, sequence, self._frame_clock_fps)
        data = encode(segment)

        def settled(outcome: VideoOutcome) -> None:
            if not self._ended:
                self._report(outcome.outcome, sequence, len(frames), len(data))

        self._report("sent", sequence, len(frames), len(data), round(budget / 8))
        if peer.closed:  # the connection ended while the segment was encoded
            self._report("lost", sequence, len(frames), len(data))
            return
        deadline = segment_deadline(frames[-1].t, duration_s, self._deadline_s)
        peer.send_video(data, deadline, settled)

    async def encode_request(self, frames: Sequence[Frame], fps: float, bits: int) -> Segment:
        """The frames of a retraining request as one segment of about ``bits``, at the camera's own size."""
        height, width = frames[0].image.shape[:2]
        # A stream of their own, so that these frames do not disturb the rate model of the camera's.
        stream = self._codec.stream()
        images = [frame.image for frame in frames]
        coded = await stream.encode(images, bits, width=width, height=height, fps=fps)
        return to_message(coded, frames, self._next_sequence(), self._frame_clock_fps)

    def _next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence - 1

    def _report(
        self, state: SegmentState, sequence: int, frames: int, size: int, budget: int | None = None
    ) -> None:
        self._emit(
            SegmentMoved(
                t=self._clock.now(),
                camera=self._camera,
                sequence=sequence,
                state=state,
                frames=frames,
                bytes=size,
                budget=budget,
            )
        )
