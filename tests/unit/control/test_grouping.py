import pytest

from ecco_emu.control.grouping import JobMetadata, Metadata, candidates, choose, members_to_split
from ecco_emu.core.ids import CameraId, JobId

CAM1, CAM2, CAM3 = CameraId("cam1"), CameraId("cam2"), CameraId("cam3")
A, B, C = JobId("a"), JobId("b"), JobId("c")


def job(*members: tuple[CameraId, float, tuple[float, float]]) -> JobMetadata:
    return JobMetadata({camera: Metadata(t, at) for camera, t, at in members})


def test_candidates_are_close_in_time_and_in_space_bounds_included() -> None:
    jobs = {
        C: job((CAM1, 10.0, (0.0, 0.0))),
        B: job((CAM2, 10.0, (200.0, 0.0))),
        A: job((CAM3, -25.0, (0.0, 0.0))),
    }
    assert candidates(Metadata(40.0, (48.0, 64.0)), jobs, 30.0, 80.0) == [C]
    assert candidates(Metadata(40.1, (48.0, 64.0)), jobs, 30.0, 80.0) == []
    assert candidates(Metadata(5.0, (0.0, 0.0)), jobs, 30.0, 80.0) == [A, C]


def test_time_and_place_must_fit_the_same_member() -> None:
    mixed = {A: job((CAM1, 0.0, (0.0, 0.0)), (CAM2, 100.0, (500.0, 0.0)))}
    assert candidates(Metadata(100.0, (0.0, 0.0)), mixed, 30.0, 80.0) == []


def test_linkage_to_the_mean_looks_at_the_group_as_one() -> None:
    spread = {A: job((CAM1, 0.0, (0.0, 0.0)), (CAM2, 20.0, (100.0, 0.0)))}
    assert spread[A].t == 10.0
    assert spread[A].at == (50.0, 0.0)
    request = Metadata(10.0, (50.0, 0.0))
    assert candidates(request, spread, 5.0, 20.0) == []
    assert candidates(request, spread, 5.0, 20.0, linkage="mean") == [A]


def test_a_job_has_members() -> None:
    with pytest.raises(ValueError, match="at least one"):
        JobMetadata({})


def test_the_best_positive_gain_wins_and_ties_go_to_the_first_id() -> None:
    assert choose({A: 0.1, B: 0.3, C: 0.2}) == B
    assert choose({C: 0.3, B: 0.3, A: -1.0}) == B
    assert choose({A: 0.0, B: -0.2}) == A  # requests of one drift arrive together, before any gain shows
    assert choose({A: -0.01, B: -0.2}) is None
    assert choose({A: 0.0}, min_gain=1e-6) is None  # the paper's rule
    assert choose({}) is None
    assert choose({A: 0.04}, min_gain=0.05) is None


def test_members_whose_accuracy_fell_by_more_than_the_threshold_are_split_off() -> None:
    previous = {CAM1: 0.5, CAM2: 0.5, CAM3: 0.5}
    current = {CAM1: 0.4, CAM2: 0.46, CAM3: 0.1}
    split = members_to_split(previous, current, 0.05)
    assert [camera for camera, _ in split] == [CAM3, CAM1]
    assert [drop for _, drop in split] == pytest.approx([0.4, 0.1])


def test_a_member_measured_once_or_not_at_all_stays() -> None:
    assert members_to_split({CAM1: 0.5, CAM2: None}, {CAM1: None, CAM2: 0.0, CAM3: 0.0}, 0.05) == []


def test_a_whole_group_may_be_split() -> None:
    split = members_to_split({CAM1: 0.6, CAM2: 0.6}, {CAM1: 0.1, CAM2: 0.1}, 0.05)
    assert [camera for camera, _ in split] == [CAM1, CAM2]
