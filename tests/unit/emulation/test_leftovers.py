from pathlib import Path

from ecco_emu.core import events as ev
from ecco_emu.emulation.leftovers import keep_newest_students
from ecco_emu.record.metrics import RunMetrics
from tests.unit.record.synthetic import started


def sent(t: float, camera: str, model: str) -> ev.StudentSent:
    return ev.StudentSent(t=t, camera=camera, job="job1", model=model)


def runs(t: float, camera: str, model: str) -> ev.StudentRunning:
    return ev.StudentRunning(t=t, camera=camera, model=model, transferred_bytes=1, transfer_s=1.0)


def test_a_run_leaves_the_newest_student_of_each_camera(tmp_path: Path) -> None:
    for name in ("first", "old", "a2", "b2", "on-its-way"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"x")
    events = [
        started(cameras=("a", "b", "c")),
        *(sent(1, "a", "old"), runs(2, "a", "old"), sent(3, "a", "a2"), runs(4, "a", "a2")),
        *(sent(1, "b", "b2"), runs(3, "b", "b2"), sent(5, "b", "on-its-way")),
    ]
    keep_newest_students(tmp_path, RunMetrics.of(events))
    assert {path.stem for path in tmp_path.iterdir()} == {"a2", "on-its-way"}


def test_a_run_without_retraining_leaves_none(tmp_path: Path) -> None:
    (tmp_path / "first.safetensors").write_bytes(b"x")
    keep_newest_students(tmp_path, RunMetrics.of([started(cameras=("a",))]))
    assert list(tmp_path.iterdir()) == []
