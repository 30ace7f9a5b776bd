"""The file of a student of the model: a header of JSON, then zeros up to the size of a real student's file.

The network has to carry as much as it would of a real one. A file that is read is checked, because it comes
over the network: its header must be short and hold exactly the student's numbers, and zeros must follow.
"""

from __future__ import annotations

import re

import msgspec

from ecco_emu.core.ids import ModelHash, model_hash
from ecco_emu.trainer.backend import BadStudentError, UnknownModelError
from ecco_emu.trainer.curve.fit import CurveFit
from ecco_emu.trainer.curve.model import CurveStudent, first_skills
from ecco_emu.trainer.weight_files import MAX_STUDENT_BYTES

FORMAT = "ecco-emu curve student 1"
MOST_HEADER_BYTES = 16_384
MOST_CONDITIONS = 64
_LINEAGE = re.compile(r"[0-9a-f]{16}")
_LONGEST_NAME = 64


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    lineage: str
    size: tuple[int, int]
    skills: dict[str, float]


def to_bytes(student: CurveStudent, file_bytes: int) -> bytes:
    """The student's file. Equal students give equal bytes."""
    skills = {name: student.skills[name] for name in sorted(student.skills)}
    header = msgspec.json.encode(_Header(FORMAT, student.lineage, student.size, skills)) + b"\n"
    return header.ljust(file_bytes, b"\0")


def load(data: bytes) -> CurveStudent:
    """The student in a file. Raises ``BadStudentError``, whose text names the fault, for any other bytes."""
    if len(data) > MAX_STUDENT_BYTES:
        raise BadStudentError(f"a student is at most {MAX_STUDENT_BYTES} bytes, this has {len(data)}")
    end = data.find(b"\n", 0, MOST_HEADER_BYTES)
    if end < 0:
        raise BadStudentError("not a student of the trainer 'curve': it does not begin with a header")
    try:
        header = msgspec.json.decode(data[:end], type=_Header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadStudentError(f"not a student of the trainer 'curve': {error}") from error
    _check(header)
    if data.count(0, end + 1) != len(data) - end - 1:
        raise BadStudentError("the student's header is followed by something else than zeros")
    return CurveStudent(header.skills, header.lineage, header.size)


def first_student(fit: CurveFit) -> bytes:
    """The file of the student that cameras start with."""
    return to_bytes(CurveStudent(first_skills(fit.learning), "0" * 16, fit.input_size), fit.file_bytes)


def _check(header: _Header) -> None:
    if header.format != FORMAT:
        raise BadStudentError(f"not a {FORMAT!r}")
    if not _LINEAGE.fullmatch(header.lineage):
        raise BadStudentError("a student's lineage is sixteen hex digits")
    if not all(0 < side <= 1920 for side in header.size):
        raise BadStudentError(f"input size {header.size[0]}x{header.size[1]} is not within 1 to 1920")
    if len(header.skills) > MOST_CONDITIONS or any(len(name) > _LONGEST_NAME for name in header.skills):
        raise BadStudentError(f"a student knows at most {MOST_CONDITIONS} conditions, with short names")
    if not all(0.0 <= skill < 1.0 for skill in header.skills.values()):
        raise BadStudentError("a student's skills are from 0 to 1")


class Students:
    """Students by hash, for as long as somebody uses them; users are counted."""

    def __init__(self) -> None:
        self._students: dict[ModelHash, CurveStudent] = {}
        self._users: dict[ModelHash, int] = {}

    def __contains__(self, model: ModelHash) -> bool:
        return model in self._students

    def __getitem__(self, model: ModelHash) -> CurveStudent:
        """Raises ``UnknownModelError`` for a student without users."""
        try:
            return self._students[model]
        except KeyError:
            raise UnknownModelError(f"student {model} is not here; add it first") from None

    def add(self, model: ModelHash, weights: bytes) -> None:
        """One user more. Raises ``BadStudentError`` if it is no student or has another hash."""
        if model not in self._students:
            if model_hash(weights) != model:
                raise BadStudentError(f"these weights hash to {model_hash(weights)}, not to {model}")
            self._students[model] = load(weights)
        self._users[model] = self._users.get(model, 0) + 1

    def remove(self, model: ModelHash) -> None:
        """One user less; forgotten with the last. Nothing happens if it has none."""
        if model not in self._students:
            return
        self._users[model] -= 1
        if not self._users[model]:
            del self._students[model], self._users[model]
