"""The number of bits that a segment takes at a compression level, learned from segment to segment. Pure.

Over a few steps the logarithm of a segment's size falls linearly with x264's CRF, which is a constant
quantiser when qcomp is 1. This is the usual rate-quantiser model of H.264 rate control. ``RateModel`` holds
the newest known point of that line, its slope, and the cost of a P frame relative to an I frame. ``Search``
uses it within one segment: it predicts a CRF, looks at the size that came out, and corrects the CRF while
the miss is too large.

Sizes are in bits per pixel, so that the model still holds when the sampling configuration changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

CRF_MIN, CRF_MAX = 1.0, 51.0
"""0 would be lossless coding, which is another profile of H.264; 51 is the coarsest for 8 bits."""

SLOPE_MIN, SLOPE_MAX = 0.03, 0.25
"""Fall of ln(bits) per CRF step: measured 0.05 (mostly headers) to 0.19 (mostly coefficients)."""

# Half-way, because a slope or a ratio from a single segment is noisy.
_SLOPE_GAIN = 0.5
_RATIO_GAIN = 0.5
# Two CRFs closer than this give about the same size, so another attempt would be wasted.
_DISTINCT_CRF = 0.05


@dataclass(frozen=True, slots=True)
class Attempt:
    """One coding of a segment: the bits of each frame at this CRF. ``frame_bits[0]`` is the I frame."""

    crf: float
    frame_bits: tuple[int, ...]

    @property
    def bits(self) -> int:
        return sum(self.frame_bits)


@dataclass(frozen=True, slots=True)
class RateModel:
    """ln(bits) = ln(pixels · load) + level - slope · (crf - anchor), load = 1 + inter_ratio · (frames - 1).

    ``load`` is the segment's size in I frames. The defaults fit a rendered street, for the first segment.

    >>> round(RateModel().crf_for(100_000, pixels=320 * 192, frames=5), 1)
    27.4
    """

    anchor_crf: float = 26.0
    level: float = 0.0
    """ln(bits per pixel of an I frame) at ``anchor_crf``."""
    slope: float = 0.11
    inter_ratio: float = 0.25
    """Bits of a P frame over bits of the segment's I frame."""

    def bits_at(self, crf: float, *, pixels: int, frames: int) -> float:
        """Expected size of a segment, in bits."""
        return pixels * self._load(frames) * math.exp(self.level - self.slope * (crf - self.anchor_crf))

    def crf_for(self, target_bits: float, *, pixels: int, frames: int) -> float:
        """The CRF expected to give ``target_bits``, within ``CRF_MIN``..``CRF_MAX``."""
        at_anchor = self.bits_at(self.anchor_crf, pixels=pixels, frames=frames)
        return _clip_crf(self.anchor_crf + math.log(at_anchor / target_bits) / self.slope)

    def learn(self, attempts: Sequence[Attempt], chosen: Attempt, *, pixels: int) -> RateModel:
        """The model after a segment: the chosen attempt is its anchor, slope and ratio move half-way."""
        # The level follows at once. A scene's complexity changes little from second to second, and a level
        # that lagged would carry an error into every step of a target that changes each second.
        model = replace(self, slope=_mix(self.slope, _slope_of(attempts), _SLOPE_GAIN))
        first, rest = chosen.frame_bits[0], chosen.frame_bits[1:]
        if rest:
            model = replace(
                model,
                inter_ratio=_mix(model.inter_ratio, sum(rest) / len(rest) / first, _RATIO_GAIN),
            )
        load = model._load(len(chosen.frame_bits))
        return replace(model, anchor_crf=chosen.crf, level=math.log(chosen.bits / (pixels * load)))

    def _load(self, frames: int) -> float:
        return 1 + self.inter_ratio * (frames - 1)


@dataclass(slots=True)
class Search:
    """The attempts at one segment: code at ``next_crf``, ``add`` the result; when it is None, take ``best``.

    An attempt is good if its size is within ``-under`` to ``+over`` of the target. The window reaches further
    down than up, and the aim is its middle: a segment that is too large builds a queue and makes later ones
    late, and one that is too small only wastes a little of the rate.
    """

    model: RateModel
    target_bits: int
    pixels: int
    frames: int
    under: float = 0.10
    over: float = 0.04
    max_attempts: int = 4
    attempts: list[Attempt] = field(default_factory=list)

    def next_crf(self) -> float | None:
        """The CRF to try next; None when the best attempt is good, or nothing better can be had."""
        if not self.attempts:
            return self.model.crf_for(self._aim, pixels=self.pixels, frames=self.frames)
        if -self.under <= self._miss(self.best) <= self.over or len(self.attempts) >= self.max_attempts:
            return None
        # The correction can end at a CRF that was tried: at an end of the range, or at a step in the curve.
        crf = self._corrected()
        tried = any(abs(crf - attempt.crf) < _DISTINCT_CRF for attempt in self.attempts)
        return None if tried else crf

    def add(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    @property
    def best(self) -> Attempt:
        """The attempt nearest the target, an excess counting double."""
        return min(self.attempts, key=lambda attempt: self._cost(self._miss(attempt)))

    @property
    def _aim(self) -> float:
        return self.target_bits * (1 + (self.over - self.under) / 2)

    def _miss(self, attempt: Attempt) -> float:
        return attempt.bits / self.target_bits - 1

    @staticmethod
    def _cost(miss: float) -> float:
        return 2 * miss if miss > 0 else -miss

    def _corrected(self) -> float:
        """A CRF between the two attempts around the aim; without such a pair, from the nearest by slope."""
        above = [attempt for attempt in self.attempts if attempt.bits > self._aim]
        below = [attempt for attempt in self.attempts if attempt.bits <= self._aim]
        if above and below:
            fine, coarse = max(above, key=lambda a: a.crf), min(below, key=lambda a: a.crf)
            if coarse.crf - fine.crf > _DISTINCT_CRF:
                part = math.log(fine.bits / self._aim) / math.log(fine.bits / coarse.bits)
                # At least a tenth of the gap away from either end: the curve bends, so the line can point
                # to an end itself, and each step must make the gap smaller.
                return fine.crf + min(0.9, max(0.1, part)) * (coarse.crf - fine.crf)
        nearest = min(self.attempts, key=lambda a: abs(math.log(a.bits / self._aim)))
        slope = _slope_of(self.attempts) or self.model.slope
        return _clip_crf(nearest.crf + math.log(nearest.bits / self._aim) / slope)


def _slope_of(attempts: Sequence[Attempt]) -> float | None:
    """The slope between the two newest attempts at one segment; None if they are too close to tell."""
    if len(attempts) < 2:
        return None
    first, second = attempts[-2:]
    step = second.crf - first.crf
    if abs(step) < 0.5:
        return None
    # Bounded, because the next correction divides by it.
    return min(SLOPE_MAX, max(SLOPE_MIN, math.log(first.bits / second.bits) / step))


def _mix(old: float, new: float | None, gain: float) -> float:
    return old if new is None else old + gain * (new - old)


def _clip_crf(crf: float) -> float:
    return min(CRF_MAX, max(CRF_MIN, crf))
