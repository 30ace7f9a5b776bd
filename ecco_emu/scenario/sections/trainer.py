"""``trainer``: the edge server's GPUs and models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ecco_emu.scenario.sections.base import Number, Strict, Whole


class TrainerSection(Strict):
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
    """Learning rate of AdamW."""
    eval_frames: Annotated[Whole, Field(ge=1, le=1000)] = 8
    """How many of each camera's newest frames a job's accuracy is measured on."""
    table: str | None = None
    """A sampling table: its name in profiles/tables/, or a path. Without it one is made from the budget."""
