"""``trainer``: the edge server's GPUs and models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ecco_emu.scenario.sections.base import Number, Strict, Whole

MODEL_TEACHER_COST = 10.0
"""194.9 GFLOPs, YOLO11x's forward pass, over 3 x 6.5, a training step of YOLO11n (forward, and twice as much
backward), both on a picture of 640 x 640."""


class TrainerSection(Strict):
    """The edge server's GPUs and models."""

    backend: Literal["yolo", "curve"] = "yolo"
    """``yolo``: real training of a YOLO11n student. ``curve``: a model of such training, fitted to recorded
    runs; nothing is trained, rendered or coded, and no torch is needed. Every result names it."""
    gpus: Annotated[Whole, Field(ge=1, le=64)] = 1
    """GPUs of the edge server, virtual ones where the host has fewer (a larger batch per step)."""
    student: str = "yolo11n-town"
    """A student in profiles/students/, or a path to a safetensors file. With ``backend: curve`` a fit of one
    in profiles/curve/, or a path to a YAML file."""
    teacher: str = "oracle"
    """``oracle``: the world's own labels; otherwise a path to YOLO11x weights, but not with ``backend:
    curve``."""
    gpu_speed: Annotated[Number, Field(gt=0, le=1e6)] = 40.0
    """Images of 320x192 that one GPU trains on in an emulated second. Other sizes count by their pixels."""
    batch: Annotated[Whole, Field(ge=1, le=256)] = 4
    """Images per GPU in one step; G GPUs make steps of G times as many."""
    learning_rate: Annotated[Number, Field(gt=0, le=1)] = 0.0005
    """Learning rate of AdamW. ``backend: curve`` has the one that it was fitted with."""
    held_out: Annotated[Number, Field(gt=0, le=0.5)] = 0.25
    """Least part of a camera's frames that is kept for measuring and never trained on. It is more, up to a
    half, for a camera whose frames arrive slowly."""
    eval_frames: Annotated[Whole, Field(ge=1, le=1000)] = 8
    """Frames that a job is measured on before and after a micro-window: the newest of its cameras, equally
    many of each, one at least."""
    window_frames: Annotated[Whole, Field(ge=1, le=1000)] = 32
    """Newest frames of each camera that its job is measured on at a window's end."""
    evaluation_cost: Annotated[Number, Field(ge=0, le=100)] = 0.4
    """Images of the GPUs' budget that measuring a model on one frame takes."""
    teacher_cost: Annotated[Number, Field(ge=0, le=1e4)] | None = None
    """Images of the GPUs' budget that labelling one frame takes. By default 0 for ``teacher: oracle``, which
    no GPU computes, and 10 for a model: YOLO11x's forward pass over YOLO11n's training step, at one size."""
    threads: Annotated[Whole, Field(ge=1, le=1024)] | None = None
    """Threads of torch. Results of training depend on their number. By default one in a simulated run, so
    that runs side by side decide the same; else one fewer than the processors of this process."""
    table: str | None = None
    """A sampling table: its name in profiles/tables/, or a path. Without it one is made from the budget."""

    @property
    def label_cost(self) -> float:
        """``teacher_cost``, or its default for this teacher."""
        if self.teacher_cost is not None:
            return self.teacher_cost
        return 0.0 if self.teacher == "oracle" else MODEL_TEACHER_COST
