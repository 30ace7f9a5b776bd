"""Training on several GPUs: one process per GPU, joined by torch.distributed.

The exchange is NCCL's, or gloo's where ranks share a device, which NCCL refuses: on a CPU, or where there are
more ranks than GPUs.

The training process itself is rank 0. It draws the pictures, hands every other rank the parts of its GPUs
through a pipe, and trains too. Models are never sent through the pipes: DistributedDataParallel copies
rank 0's to the others when a job is created. Where the scenario has more GPUs than there are ranks, a rank
stands for several, one after the other.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
from collections.abc import Iterator, Sequence
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
import torch.distributed
from ultralytics.nn.tasks import DetectionModel

from ecco_emu.core.errors import HostError
from ecco_emu.host.workers import settle_child
from ecco_emu.trainer.backend import Settings
from ecco_emu.trainer.yolo import student
from ecco_emu.trainer.yolo.devices import device_of, real_gpus
from ecco_emu.trainer.yolo.session import SETTLING_PICTURES, GpuBatches, TrainingSession

_PATIENCE = timedelta(minutes=5)
"""How long a rank waits for the others in one exchange of gradients. NCCL does not notice that a peer died; a
step of the largest batches that fit a GPU takes seconds."""
_REAP_S = 2.0
"""A rank whose connection broke has this long to be seen as dead."""


class RankDiedError(HostError):
    """One of the processes that train together died, and the jobs' training state with it."""


class Team:
    """The other ranks, as rank 0 commands them. With one rank it starts no process and adds nothing."""

    def __init__(self, ranks: int, settings: Settings) -> None:
        self.ranks = ranks
        self._settings = settings
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        if ranks > 1:
            self._start()

    def session(self, job: str, model: student.Student) -> TrainingSession:
        """Makes a session of that name on every rank; returns rank 0's. Raises ``RankDiedError``."""
        # told first: making the session waits in torch.distributed until every rank makes its own
        self._tell("create", job, model.size)
        with self._deaths_named():
            return _session(model.model, job, model.size, self._settings, 0, self.ranks)

    def drop(self, job: str) -> None:
        """Forgets the other ranks' sessions of that name. Raises ``RankDiedError``."""
        self._tell("drop", job)

    def train(
        self, job: str, session: TrainingSession, steps: Sequence[GpuBatches]
    ) -> tuple[list[float], float]:
        """A micro-window on all ranks: the mean loss per image of every step, and the seconds it took.

        Raises ``RankDiedError``.
        """
        with self._deaths_named():
            for rank, pipe in enumerate(self._pipes, start=1):
                pipe.send(("train", job, [each.of_rank(rank, self.ranks) for each in steps]))
            last = [picture for each in steps for picture in each.pictures()][-SETTLING_PICTURES:]
            losses, wall_s = session.train_micro([each.of_rank(0, self.ranks) for each in steps], last)
        return [loss / len(each.pictures()) for loss, each in zip(losses, steps, strict=True)], wall_s

    def close(self) -> None:
        """Ends the other ranks, by force after five seconds."""
        with contextlib.suppress(RankDiedError):
            self._tell("end")
        for process in self._processes:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()
        if self._processes:
            torch.distributed.destroy_process_group()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        port = _free_port()
        for rank in range(1, self.ranks):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(os.getpid(), rank, self.ranks, port, self._settings, theirs), daemon=True
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        _join(0, self.ranks, port)

    def _tell(self, *message: object) -> None:
        with self._deaths_named():
            for pipe in self._pipes:
                pipe.send(message)

    @contextlib.contextmanager
    def _deaths_named(self) -> Iterator[None]:
        """Turns the errors that follow a rank's death into one that names the rank.

        They are the pipe's while the rank was idle, and torch's (a ``RuntimeError``) during an exchange.
        """
        try:
            yield
        except (OSError, RuntimeError) as error:
            # A dead process's pipes close, its sentinel with them, a moment before it has an exit code.
            closed = wait([process.sentinel for process in self._processes], timeout=_REAP_S)
            for rank, process in enumerate(self._processes, start=1):
                if process.sentinel in closed:
                    process.join(_REAP_S)
                    raise RankDiedError(
                        f"the training process of GPU {rank} (pid {process.pid}) died with exit code "
                        f"{process.exitcode}. If the kernel's log names it, memory ran out: free some, or "
                        "lower trainer.batch or trainer.gpus"
                    ) from error
            raise


def _serve(parent_pid: int, rank: int, ranks: int, port: int, settings: Settings, pipe: Connection) -> None:
    """The whole run of another rank: it follows rank 0's messages in order, until the pipe closes."""
    settle_child(parent_pid, os.getpriority(os.PRIO_PROCESS, 0), {})  # at the same priority as rank 0
    torch.set_num_threads(max(1, settings.threads // ranks))
    _join(rank, ranks, port)
    sessions: dict[str, TrainingSession] = {}
    with contextlib.suppress(EOFError):
        while (message := pipe.recv())[0] != "end":
            _obey(message, sessions, settings, rank, ranks)
    torch.distributed.destroy_process_group()


def _obey(
    message: tuple[Any, ...],
    sessions: dict[str, TrainingSession],
    settings: Settings,
    rank: int,
    ranks: int,
) -> None:
    match message:
        case "create", job, size:
            # untrained weights will do: DistributedDataParallel overwrites them with rank 0's
            sessions[job] = _session(student.build(), job, size, settings, rank, ranks)
        case "train", job, steps:
            sessions[job].train_micro(steps)
        case "drop", job:
            sessions.pop(job, None)


def _session(
    model: DetectionModel,
    job: str,
    size: tuple[int, int],
    settings: Settings,
    rank: int,
    ranks: int,
) -> TrainingSession:
    return TrainingSession(
        model,
        size,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
        name=job,
        device=device_of(rank),
        gpus=settings.gpus,
        rank=rank,
        ranks=ranks,
    )


def _join(rank: int, ranks: int, port: int) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # else gloo resolves the host's name
    gpus = real_gpus()
    if gpus:
        torch.cuda.set_device(device_of(rank))
    backend = "nccl" if ranks <= gpus else "gloo"
    torch.distributed.init_process_group(
        backend, init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=ranks, timeout=_PATIENCE
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
