"""Accuracies of students on samples, with detections kept as long as they are true. Does not import torch.

A job is measured before and after each micro-window, mostly on the same frames. Its student has not changed
between one micro-window's "after" and the next one's "before", so only frames that have arrived since are
run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from ecco_emu.control.evidence import Estimate
from ecco_emu.core.frames import Image
from ecco_emu.core.ids import CameraId, JobId, ModelHash
from ecco_emu.tasks.detection import Detections, FrameMatches, Sample, estimate, match_frames

Subject = JobId | ModelHash
"""A job's student as it is now, or a student by its hash."""

MOST_KEPT = 4096
"""Frames whose matches are kept, of all subjects together: about 10 kB each. The longest unused go first."""


class Measurements:
    """Measures subjects on samples. ``run`` gives a subject's detections in pictures."""

    def __init__(
        self, run: Callable[[Subject, Sequence[Image]], list[Detections]], *, most_kept: int = MOST_KEPT
    ) -> None:
        self._run = run
        self._most_kept = most_kept
        self._kept: OrderedDict[tuple[Subject, CameraId, int], FrameMatches] = OrderedDict()

    def measure_all(
        self, subjects: Sequence[Subject], samples: Mapping[CameraId, Sequence[Sample]]
    ) -> tuple[dict[tuple[str, CameraId], Estimate], int]:
        """``measure`` for each subject on the same samples: the accuracies by subject and camera."""
        accuracy: dict[tuple[str, CameraId], Estimate] = {}
        pictures = 0
        for subject in subjects:
            measured, run = self.measure(subject, samples)
            accuracy |= {(subject, camera): each for camera, each in measured.items()}
            pictures += run
        return accuracy, pictures

    def measure(
        self, subject: Subject, samples: Mapping[CameraId, Sequence[Sample]]
    ) -> tuple[dict[CameraId, Estimate], int]:
        """The subject's accuracy on each camera's samples, and the number of pictures that it was run on.

        Cameras without samples, or without an object in them, are left out.
        """
        matches, pictures = self._matches(subject, [each for own in samples.values() for each in own])
        found = {
            camera: estimate([matches[camera, each.index] for each in own], [each.t for each in own])
            for camera, own in samples.items()
        }
        return {camera: each for camera, each in found.items() if each is not None}, pictures

    def forget(self, *, subject: Subject | None = None, camera: CameraId | None = None) -> None:
        """Drops all that is kept of a subject, whose student changed or is gone, or of a camera."""
        for key in [key for key in self._kept if key[0] == subject or key[1] == camera]:
            del self._kept[key]

    def _matches(
        self, subject: Subject, samples: Sequence[Sample]
    ) -> tuple[dict[tuple[CameraId, int], FrameMatches], int]:
        """The matches of all samples, by camera and index of the frame, and how many pictures were run."""
        new = [each for each in samples if (subject, each.camera, each.index) not in self._kept]
        if new:  # all cameras' frames in one call: full batches take less time than one batch a camera
            seen = self._run(subject, [each.image for each in new])
            found = match_frames([each.labels for each in new], seen)
            for sample, frame in zip(new, found, strict=True):
                self._kept[subject, sample.camera, sample.index] = frame
        matches = {}
        for sample in samples:
            key = subject, sample.camera, sample.index
            self._kept.move_to_end(key)
            matches[sample.camera, sample.index] = self._kept[key]
        while len(self._kept) > self._most_kept:
            self._kept.popitem(last=False)
        return matches, len(new)
