"""The cameras that are connected, and the messages that they are sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ecco_emu.core.clock import Clock
from ecco_emu.core.ids import CameraId, ModelHash
from ecco_emu.core.messages import Assignment
from ecco_emu.server.jobs import Job
from ecco_emu.server.session import CameraSession


class ConnectedCameras:
    """Sessions by camera. What is said to a camera that is not connected is lost; it is told again what
    matters when it registers again (``EdgeServer``)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[CameraId, CameraSession] = {}
        self._lost: dict[CameraId, float] = {}
        self._released: dict[CameraId, str] = {}
        """Reasons of releases that a camera has not heard of, because it was not connected."""
        self._students: dict[CameraId, deque[ModelHash]] = {}
        """By camera, the student that it was told to run last, and the one that it runs until that has
        arrived: a request that it sends meanwhile names the latter."""

    def registered(self, session: CameraSession, model: ModelHash) -> None:
        self._sessions[session.camera] = session
        self._lost.pop(session.camera, None)
        self._runs(session.camera, model)
        if (reason := self._released.pop(session.camera, None)) is not None:
            session.release(reason)

    def closed(self, session: CameraSession) -> None:
        # the camera may have dialled again before this connection was found dead: that session stays
        if self._sessions.get(session.camera) is session:
            del self._sessions[session.camera]
            self._lost[session.camera] = self._clock.now()

    def lost_for(self, camera: CameraId) -> float:
        """Emulated seconds since its connection closed; 0 while it has one."""
        lost = self._lost.get(camera)
        return 0.0 if lost is None else self._clock.now() - lost

    def newest(self, camera: CameraId) -> ModelHash | None:
        """The student that the camera runs, or was told to run last."""
        students = self._students.get(camera)
        return students[-1] if students else None

    def students(self) -> set[ModelHash]:
        """All that a camera may run now."""
        return {student for students in self._students.values() for student in students}

    def assign(self, job: Job, cameras: Iterable[CameraId] | None = None) -> None:
        """Tells a group's cameras its (c_j, p_j) and n_j; all of them, or ``cameras`` alone."""
        assignment = Assignment(job.id, c=job.c, p=min(1.0, job.p), members=len(job.members))
        for camera in job.cameras if cameras is None else cameras:
            if (session := self._sessions.get(camera)) is not None:
                session.assign(assignment)

    def offer(self, camera: CameraId, job: Job) -> bool:
        """Offers the job's newest student; False if the camera is not connected."""
        if (session := self._sessions.get(camera)) is None:
            return False
        session.offer_student(job.id, job.newest)
        self._runs(camera, job.newest)
        return True

    def release(self, camera: CameraId, reason: str) -> None:
        if (session := self._sessions.get(camera)) is not None:
            session.release(reason)
        else:
            self._released[camera] = reason

    def refuse(self, camera: CameraId, reason: str, retry_s: float) -> None:
        if (session := self._sessions.get(camera)) is not None:
            session.refuse(reason, retry_s)

    def _runs(self, camera: CameraId, model: ModelHash) -> None:
        students = self._students.setdefault(camera, deque(maxlen=2))
        if model in students:
            students.remove(model)
        students.append(model)
