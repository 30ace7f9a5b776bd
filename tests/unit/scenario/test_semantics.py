from __future__ import annotations

import pytest

from ecco_emu.scenario import loading, semantics

from .conftest import SMALL, lines, wrong


def test_ids_are_unique_and_not_the_emulations_own(small):
    small["cameras"][1]["id"] = "cam1"
    assert wrong(small) == ["cameras[1].id: 'cam1' is the id of cameras[0] already"]
    for taken in semantics.RESERVED_IDS:
        small["cameras"][1]["id"] = taken
        (line,) = wrong(small)
        assert line.startswith(f"cameras[1].id: '{taken}' is taken")


def test_district_names_are_unique(small):
    districts = small["world"]["town"]["districts"]
    districts.append(dict(districts[0]))
    (line,) = wrong(small)
    assert line == "world.town.districts[1].name: 'harbour' is the name of world.town.districts[0] already"


def test_cameras_stand_in_the_town(small):
    small["cameras"][0]["at"] = ["-101m", "0m"]
    (line,) = wrong(small)
    assert line.startswith("cameras[0].at: (-101m, 0m) is outside the town, which reaches 100m")


def test_a_camera_does_not_look_at_itself(small):
    small["cameras"][0]["source"]["look_at"] = ["1m", "2m"]
    assert wrong(small) == ["cameras[0].source.look_at: is where the camera stands; look at another point"]


def test_the_student_cannot_look_at_more_frames_than_there_are(small):
    small["cameras"][0]["source"]["fps"] = 3
    (line,) = wrong(small)
    assert line.startswith("cameras[0].source.fps: 3 frames a second are fewer than the 4")


def test_cameras_may_have_different_sizes(small):
    small["cameras"][0]["source"]["size"] = [640, 384]
    assert wrong(small) == []


def test_jitter_is_checked_against_the_delay_that_will_hold(small):
    small["cameras"][0]["uplink"] = {"jitter": "8ms"}
    (line,) = wrong(small)
    assert line.startswith("cameras[0].uplink: jitter (8ms) cannot be larger than delay (5ms)")
    small["network"] = {"uplink": {"delay": "10ms"}}
    assert wrong(small) == []


def test_what_comes_after_the_end_is_named(small):
    small["world"]["town"]["districts"][0]["weather"].append({"at": "20s", "is": "rain"})
    small["faults"] = [{"at": "25s", "on": "cam1", "down": {}}]
    assert sorted(wrong(small)) == [
        "faults[0].at: 25s never comes: the run ends at 20s",
        "world.town.districts[0].weather[2].at: 20s never comes: the run ends at 20s",
    ]


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ([{"at": "1s", "on": "cm2", "up": True}], "faults[0].on: 'cm2' is no link; did you mean 'cam2'?"),
        (
            [{"at": "1s", "on": "server", "down": {}}],
            "faults[0].on: 'server' is no link; it is one of: cam1, cam2",
        ),
        ([{"at": "1s", "on": "cam1", "up": True}], "faults[0]: cam1 is not down at 1s: no 'down' to end"),
        (
            [{"at": "1s", "on": "cam1", "down": {"for": "5s"}}, {"at": "3s", "on": "cam1", "down": {}}],
            "faults[1]: cam1 is down already: fault[0] holds it down until 6s",
        ),
        (
            [{"at": "3s", "on": "cam1", "down": {}}, {"at": "1s", "on": "cam1", "down": {}}],
            "faults[0]: cam1 is down already: fault[1] holds it down",
        ),
        (
            [{"at": "1s", "on": "cam1", "down": {"for": "2s"}}, {"at": "3s", "on": "cam1", "up": True}],
            "faults[1]: cam1 is not down at 3s",
        ),
    ],
)
def test_faults_that_cannot_happen(small, faults, message):
    small["faults"] = faults
    found = wrong(small)
    assert any(line.startswith(message) for line in found), found


def test_faults_that_follow_each_other_are_right(small):
    small["faults"] = [
        {"at": "1s", "on": "cam1", "down": {"for": "2s"}},
        {"at": "3s", "on": "cam1", "down": {}},
        {"at": "4s", "on": "cam2", "down": {"for": "2s"}},
        {"at": "5s", "on": "cam1", "up": True},
        {"at": "6s", "on": "bottleneck", "set": {"rate": "1mbit"}},
    ]
    assert wrong(small) == []


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        ({"camera": "cam3", "map": ">= 0.1"}, "expect[0].camera: there is no camera 'cam3'; did you mean"),
        (
            {"camera": "cam1", "map": "good"},
            "expect[0].map: 'good' is not a comparison; write it as '>= 0.3'",
        ),
        ({"camera": "cam1", "map": ">= 1.5"}, "expect[0].map: '>= 1.5' can never be decided"),
        (
            {"camera": "cam1", "of": "fault[3].end"},
            "expect[0].of: there is no fault[3]; the last is fault[2]",
        ),
        (
            {"camera": "cam1", "of": "fault[1].end"},
            "expect[0].of: fault[1] has no end: give its 'down' a 'for'",
        ),
        (
            {"camera": "cam1", "of": "fault[2].end"},
            "expect[0].of: fault[2] has no end: a 'set' has none",
        ),
        ({"camera": "cam1", "of": "noon"}, "expect[0].of: 'noon' is not a moment"),
        ({"camera": "cam1", "of": "30s"}, "expect[0].of: 30s never comes: the run ends at 20s"),
        (
            {"camera": "cam1", "of": "18s"},
            "expect[0].within: 4s of 18s last until 22s, but the run ends at 20s",
        ),
        ({"camera": "cam1", "delivers": "some"}, "expect[0].delivers: 'some' is not a comparison"),
        ({"camera": "cam1", "delivers": ">= 1"}, "expect[0].delivers: '>= 1' does not say of what"),
        ({"camera": "cam1", "delivers": ">= 0.5 segments"}, "expect[0].delivers: '>= 0.5 segments' asks for"),
    ],
)
def test_expectations_that_cannot_be_checked(small, expect, message):
    small["faults"] = [
        {"at": "1s", "on": "cam1", "down": {"for": "2s"}},
        {"at": "4s", "on": "cam1", "down": {}},
        {"at": "5s", "on": "bottleneck", "set": {"rate": "1mbit"}},
    ]
    if "map" not in expect:
        expect = {"within": "4s", "of": "start", "delivers": ">= 1 segment"} | expect
    small["expect"] = [expect]
    (line,) = wrong(small)
    assert line.startswith(message)


def test_an_unknown_student_lists_the_known(small):
    small["trainer"] = {"student": "yolo11n-twn"}
    assert wrong(small) == [
        "trainer.student: no student 'yolo11n-twn'; did you mean 'yolo11n-town'?; ecco-emu pretrain makes one"
    ]
    small["trainer"] = {"student": "zebra"}
    assert "there are: yolo11n-town; ecco-emu pretrain makes one" in wrong(small)[0]
    assert wrong(small, files=False) == []


def test_a_model_of_training_starts_from_a_fit(small, profiles):
    small["trainer"] = {"backend": "curve"}
    (line,) = wrong(small)  # these profiles have none
    assert line.startswith("trainer.student: no curve fit 'yolo11n-town'; there are none in")
    (profiles / "curve").mkdir()
    (profiles / "curve" / "yolo11n-town.yaml").touch()
    assert wrong(small) == []
    small["trainer"]["student"] = "yolo11n-twn"
    assert wrong(small)[0].startswith(
        "trainer.student: no curve fit 'yolo11n-twn'; did you mean 'yolo11n-town'?"
    )


def test_a_model_of_training_has_no_teacher_but_the_truth(small, tmp_path):
    teacher = tmp_path / "yolo11x.pt"
    teacher.touch()
    small["trainer"] = {"backend": "curve", "teacher": str(teacher)}
    (line,) = wrong(small, files=False)
    assert line == (
        "trainer.teacher: 'backend: curve' runs no model, so it has no teacher but the world's own labels: "
        "give oracle, or 'backend: yolo'"
    )
    small["trainer"]["backend"] = "yolo"
    assert wrong(small) == []


def test_a_fit_of_ones_own_is_found_from_any_folder(write):
    path = write(SMALL + "trainer: {backend: curve, student: mine.yaml}\n")
    (path.parent / "mine.yaml").touch()
    assert loading.load(path).scenario.trainer.student == str(path.parent / "mine.yaml")


SET_CASES = [
    ("windows.count=5", None),
    ("cameras.0.uplink.rate=800kbit", None),
    ("cameras[1].uplink.rate=800kbit", None),
    ("cameras.cam2.uplink.rate=800kbit", None),
    ("world.town.districts.harbour.radius=9m", None),
    ("cameras.cam2.at=[3m, 4m]", None),
    ("windows.count", "--set windows.count: write it as key=value, such as windows.count=2"),
    ("windows.count=", "--set windows.count=: no value after '='"),
    ("=3", "--set =3: write it as key=value, such as windows.count=2"),
    ("windows..count=3", "--set windows..count=3: the key has an empty part"),
    ("windows.cuont=3", "--set windows.cuont=3: windows.cuont: unknown key 'cuont'; did you mean 'count'?"),
    ("seed=[1", "--set seed=[1: not valid YAML: expected ',' or ']', but got '<stream end>'"),
    ("name.x=1", "--set name.x=1: name is the value 'small', with nothing inside to set"),
    ("cameras.7.id=x", "--set cameras.7.id=x: cameras has 2 items, numbered from 0"),
    ("cameras.cam3.id=x", "--set cameras.cam3.id=x: cameras has no item 'cam3'; did you mean 'cam"),
    ("windows.count=0", "--set windows.count=0: windows.count: 0 is out of range: it must be at least 1"),
]


@pytest.mark.parametrize(("option", "message"), SET_CASES, ids=[case[0] for case in SET_CASES])
def test_set(write, option, message):
    found = lines(write(SMALL), overrides=[option])
    if message is None:
        assert found == []
    else:
        assert len(found) == 1
        assert found[0].startswith(message)


def test_set_changes_what_it_names_and_later_options_win(write):
    sets = [
        "cameras.cam2.uplink.rate=800kbit",
        "windows.count=5",
        "windows.count=4",
        "seed=9",
        "policy.name=ecco",
    ]
    scenario = loading.load(write(SMALL), sets, seed=3, dilation="2.5", policy="naive").scenario
    assert [scenario.uplink_of(camera).rate for camera in scenario.cameras] == [4e6, 800e3]
    assert (scenario.windows.count, scenario.seed) == (4, 3)
    assert (scenario.clock.dilation, scenario.policy.name) == (2.5, "naive")


def test_a_set_can_mend_what_the_file_has_wrong(write):
    path = write(SMALL.replace("count: 2", "count: many"))
    assert lines(path) == ["3:18: windows.count: 'many' does not fit: this is a whole number"]
    assert lines(path, overrides=["windows.count=2"]) == []


def test_bad_options_are_named(write):
    assert lines(write(SMALL), seed=-1, dilation="fast", policy="echo") == [
        "--dilation fast: clock.dilation: 'fast' is not a dilation: it is auto, or a number from 0.1 to 1000",
        "--policy echo: policy.name: 'echo' is not one of: ecco, naive; did you mean 'ecco'?",
        "--seed -1: seed: -1 is out of range: it must be at least 0",
    ]
