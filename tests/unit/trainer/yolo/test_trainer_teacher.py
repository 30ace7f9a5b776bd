"""Weights that are no teacher end a run when they are loaded, not when its first frames are labelled."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ultralytics.nn.tasks import DetectionModel, SegmentationModel

from ecco_emu.core.errors import ScenarioError
from ecco_emu.trainer.weight_files import inspect_teacher
from ecco_emu.trainer.yolo.teacher_model import TeacherModel

COCO = {0: "person", 2: "car", 7: "truck"}


def save(path: Path, model: torch.nn.Module, task: str) -> Path:
    model.names = {number: COCO.get(number, f"class{number}") for number in range(80)}
    torch.save({"model": model.half(), "ema": None, "train_args": {"task": task, "imgsz": 640}}, path)
    return path


def test_a_detector_is_a_teacher(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pt", DetectionModel("yolo11n.yaml", verbose=False), "detect")
    inspect_teacher(path)
    TeacherModel(path, torch.device("cpu"))


def test_another_tasks_model_is_none(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pt", SegmentationModel("yolo11n-seg.yaml", verbose=False), "segment")
    with pytest.raises(ScenarioError, match="SegmentationModel"):
        inspect_teacher(path)
    with pytest.raises(ScenarioError, match="holds a SegmentationModel, not a DetectionModel"):
        TeacherModel(path, torch.device("cpu"))
