"""Drift detection on synthetic confidence streams at 4 values a second."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecco_emu.control.drift import (
    DetectorName,
    DriftDetector,
    DriftParameters,
    Phase,
    frame_confidence,
    make_change_test,
)

DETECTORS: tuple[DetectorName, ...] = ("page-hinkley", "adwin", "kswin")
RATE_HZ = 4


def first_alarm(
    detector: DriftDetector,
    level: Callable[[float], float],
    until_s: float,
    *,
    sigma: float = 0.1,
    seed: int = 0,
) -> float | None:
    """When the alarm comes on a noisy stream around ``level(t)``."""
    noise = np.random.default_rng(seed).normal(0.0, sigma, int(until_s * RATE_HZ))
    for index, error in enumerate(noise):
        t = index / RATE_HZ
        if detector.update(t, float(np.clip(level(t) + error, 0.0, 1.0))):
            return t
    return None


def step(before: float, after: float, at: float = 30.0) -> Callable[[float], float]:
    return lambda t: before if t < at else after


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("seed", range(8))
def test_no_false_alarm_in_600_noisy_values(name: DetectorName, seed: int) -> None:
    assert first_alarm(DriftDetector(name), lambda t: 0.6, 600 / RATE_HZ, seed=seed) is None


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("after", [0.3, 0.1, 0.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_fall_is_noticed_within_four_seconds_and_not_before(
    name: DetectorName, after: float, seed: int
) -> None:
    alarm = first_alarm(DriftDetector(name), step(0.6, after), 60.0, seed=seed)
    assert alarm is not None
    assert 31.0 <= alarm <= 34.0


@pytest.mark.parametrize("seed", range(6))
def test_noise_of_cars_that_come_and_stay_widens_the_margin(seed: int) -> None:
    """Neighbouring values alike (correlation 0.7): taken for independent, they gave an alarm every 2 min."""
    noise = np.random.default_rng(seed).normal(0.0, 0.1, 600)
    for index in range(1, 600):
        noise[index] = 0.7 * noise[index - 1] + noise[index] * np.sqrt(1 - 0.7**2)
    detector = DriftDetector()
    assert not any(detector.update(index / RATE_HZ, 0.6 + error) for index, error in enumerate(noise))
    assert 0.4 < detector.correlation < 0.9
    assert any(detector.update(150.0 + index / RATE_HZ, 0.1 + noise[index]) for index in range(16))


@pytest.mark.parametrize("name", DETECTORS)
def test_a_rise_is_not_drift(name: DetectorName) -> None:
    assert first_alarm(DriftDetector(name), step(0.4, 0.8), 90.0) is None


@pytest.mark.parametrize("name", DETECTORS)
def test_a_fall_shorter_than_the_confirmation_is_not_drift(name: DetectorName) -> None:
    assert (
        first_alarm(DriftDetector(name), lambda t: 0.1 if 30.0 <= t < 31.0 else 0.6, 90.0, sigma=0.05) is None
    )


@pytest.mark.parametrize("name", DETECTORS)
def test_a_slow_fade_is_noticed(name: DetectorName) -> None:
    alarm = first_alarm(DriftDetector(name), lambda t: 0.6 - 0.015 * min(20.0, max(0.0, t - 30.0)), 90.0)
    assert alarm is not None
    assert 33.0 <= alarm <= 52.0


def test_a_fall_the_change_test_never_saw_is_drift_when_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Blind:
        drift_detected = False

        def update(self, x: float) -> None:
            pass

    monkeypatch.setattr("ecco_emu.control.drift.make_change_test", lambda name: Blind())
    detector = DriftDetector("page-hinkley", DriftParameters(insist_s=5.0))
    alarm = first_alarm(detector, step(0.6, 0.3), 60.0)
    assert alarm is not None
    assert 35.0 <= alarm <= 37.0


def test_longer_confirmation_means_a_later_alarm() -> None:
    patient = DriftDetector(parameters=DriftParameters(confirm_s=8.0))
    alarm = first_alarm(patient, step(0.6, 0.2), 60.0)
    assert alarm is not None
    assert 38.0 <= alarm <= 40.0


def test_one_drift_is_told_once_until_reset_and_the_reference_is_learnt_anew() -> None:
    detector = DriftDetector()
    alarm = first_alarm(detector, step(0.6, 0.2), 60.0)
    assert alarm is not None
    assert detector.phase is Phase.ALARMED
    assert not any(detector.update(alarm + index / RATE_HZ, 0.2) for index in range(1, 100))
    detector.reset(100.0)
    assert detector.phase is Phase.WARM_UP
    assert not any(detector.update(100.0 + index / RATE_HZ, 0.45) for index in range(80))
    assert detector.reference == pytest.approx(0.45)
    assert any(detector.update(120.0 + index / RATE_HZ, 0.15) for index in range(16))


def test_an_alarm_stands_until_it_is_answered() -> None:
    """Else the camera would take the bad level for usual while its request is refused again and again."""
    detector = DriftDetector(parameters=DriftParameters(rearm_s=10.0))
    alarm = first_alarm(detector, step(0.6, 0.3), 60.0)
    assert alarm is not None
    assert not any(detector.update(alarm + index / RATE_HZ, 0.3) for index in range(1, 160))
    assert detector.phase is Phase.ALARMED
    assert detector.low
    answered = alarm + 40.0
    detector.answered(answered)
    assert not any(detector.update(answered + index / RATE_HZ, 0.3) for index in range(160))
    assert detector.phase is Phase.WATCHING
    assert detector.reference == pytest.approx(0.3)


def test_a_fall_that_is_over_is_no_drift_any_more_and_the_next_one_is() -> None:
    detector = DriftDetector()
    alarm = first_alarm(detector, step(0.6, 0.3), 60.0)
    assert alarm is not None
    assert not any(detector.update(alarm + index / RATE_HZ, 0.6) for index in range(1, 20))
    assert not detector.low
    detector.resume(alarm + 5.0)
    assert detector.phase is Phase.WATCHING
    assert detector.reference == pytest.approx(0.6, abs=0.05)
    fall = alarm + 20.0
    assert not any(detector.update(alarm + 5.0 + index / RATE_HZ, 0.6) for index in range(60))
    assert any(detector.update(fall + index / RATE_HZ, 0.2) for index in range(16))
    assert fall <= detector.onset <= fall + 0.5


class TestAStudentThatArrivesDuringAFall:
    """The server trained it without knowing of the fall: the camera must not forget it."""

    def fallen(self, seconds: float) -> tuple[DriftDetector, float]:
        """A detector ``seconds`` after a fall from 0.6 to 0.1 at 30 s, and the time."""
        detector, now = DriftDetector(parameters=DriftParameters(confirm_s=2.0)), 0.0
        for index in range(round((30.0 + seconds) * RATE_HZ)):
            now = index / RATE_HZ
            detector.update(now, 0.6 if now < 30.0 else 0.1)
        return detector, now

    def test_and_does_no_better_leaves_the_alarm_to_come(self) -> None:
        detector, now = self.fallen(1.0)
        detector.switch(now)
        alarms = [i for i in range(1, 20) if detector.update(now + i / RATE_HZ, 0.1)]
        assert len(alarms) == 1
        assert 30.0 <= detector.onset <= 30.5

    def test_and_sees_better_ends_it(self) -> None:
        detector, now = self.fallen(1.0)
        detector.switch(now)
        assert not any(detector.update(now + i / RATE_HZ, 0.5) for i in range(1, 60))
        assert detector.phase is Phase.WATCHING
        assert detector.reference == pytest.approx(0.5)

    def test_leaves_an_alarm_that_nobody_has_answered(self) -> None:
        detector, now = self.fallen(4.0)
        assert detector.phase is Phase.ALARMED
        detector.switch(now)
        assert detector.phase is Phase.ALARMED
        assert detector.low
        detector.answered(now + 1.0)
        detector.switch(now + 2.0)  # the answer's student
        assert detector.phase is Phase.WARM_UP

    def test_after_the_suspicion_was_dropped_is_learnt_anew(self) -> None:
        detector, now = self.fallen(0.0)
        detector.switch(now)
        assert detector.phase is Phase.WARM_UP


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("after", [0.1, 0.3])
@pytest.mark.parametrize("fade_s", [0.0, 1.0])
def test_the_onset_is_near_the_drift_and_not_before_it(
    name: DetectorName, after: float, fade_s: float
) -> None:
    """The alarm is 1 to 4 s late, and so is the first moment at which the recent mean is low, by a second."""

    def faded(t: float) -> float:
        part = min(1.0, (t - 30.0) / fade_s if fade_s else 1.0)
        return 0.6 if t < 30.0 else 0.6 + (after - 0.6) * part

    errors = []
    for seed in range(20):
        detector = DriftDetector(name)
        alarm = first_alarm(detector, faded, 60.0, seed=seed)
        assert alarm is not None
        errors.append(detector.onset - 30.0)
    assert min(errors) >= -0.25  # one value too early at most
    assert 0.0 <= np.median(errors) <= 0.25 + fade_s
    assert np.mean(np.array(errors) < 0) <= 0.05


@pytest.mark.parametrize("name", DETECTORS)
def test_the_onset_on_streams_of_a_town(name: DetectorName) -> None:
    recorded = json.loads(Path(__file__).with_name("town_confidence.json").read_text())
    errors = []
    for values in recorded["streams"].values():
        detector = DriftDetector(name)
        alarms = [
            i / recorded["fps"] for i, v in enumerate(values) if detector.update(i / recorded["fps"], v)
        ]
        assert len(alarms) == 1
        errors.append(detector.onset - recorded["onset_s"])
        assert detector.onset <= alarms[0]
    assert min(errors) >= 0.0
    assert np.median(errors) <= 0.6
    assert max(errors) <= 3.0


def test_frames_of_the_old_student_right_after_a_reset_are_ignored() -> None:
    detector = DriftDetector(parameters=DriftParameters(cooldown_s=1.0))
    detector.reset(5.0)
    for t, value in ((5.25, 0.0), (5.5, 0.0), (5.75, 0.0), (6.0, 0.7)):
        detector.update(t, value)
    assert detector.reference == 0.7


def test_values_that_are_not_finite_are_ignored() -> None:
    detector = DriftDetector()
    assert np.isnan(detector.reference)
    assert not detector.update(0.0, float("nan"))
    assert np.isnan(detector.statistic)


def test_the_detector_is_deterministic() -> None:
    alarms = {first_alarm(DriftDetector("kswin"), step(0.6, 0.35), 60.0, seed=3) for _ in range(2)}
    assert len(alarms) == 1


def test_frame_confidence_is_the_mean_of_the_best() -> None:
    scores = np.array([0.1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.2], np.float32)
    assert frame_confidence(scores) == pytest.approx(0.7)
    assert frame_confidence(scores, top=1) == pytest.approx(0.9)
    assert frame_confidence(scores[:2]) == pytest.approx(0.5)
    assert frame_confidence(np.zeros(0, np.float32)) == 0.0


def test_parameters_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="recent_s"):
        DriftParameters(recent_s=0.0)
    with pytest.raises(ValueError, match="negative"):
        DriftParameters(margin=-0.1)


def test_an_unknown_detector_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown drift detector"):
        make_change_test("oracle")  # type: ignore[arg-type]
