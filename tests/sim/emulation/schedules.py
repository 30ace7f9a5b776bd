"""Random fault schedules for a small simulated run, and the rules that no schedule may make it break."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from ecco_emu.core.random_streams import stream
from ecco_emu.scenario.document import parse
from ecco_emu.trainer.curve.fit import load_fit

CAMERAS = ("cam1", "cam2", "cam3")
LINKS = (*CAMERAS, "bottleneck", "downlink")
LAST_FAULT_S = 5.0
DEADLINE_S = 6.0
"""Well above that of a segment: its fate is known by then."""


def scenario(seed: int, student: Path) -> dict[str, Any]:
    """A run of 10 s, in the first half of which anything may happen to the links."""
    place = {"source": {"look_at": ["0m", "0m"], "fps": 5}}
    return {
        "version": 1,
        "name": f"schedule{seed}",
        "seed": seed,
        "windows": {"count": 1, "length": "10s", "micro": "2s"},
        "trainer": {"backend": "curve", "gpus": 1, "gpu_speed": 16, "student": str(student)},
        "drift": {"detector": "oracle"},
        "transport": {"qlog": False},
        "network": {
            "engine": "simulated",
            "bottleneck": {"rate": "1mbit", "delay": "10ms", "queue": "200ms"},
            "uplink": {"rate": "500kbit", "delay": "5ms", "loss": "0.3%"},
        },
        "world": {
            "town": {
                "seed": 11,
                "size": "200m",
                "districts": [
                    {
                        "name": "crossing",
                        "center": ["0m", "0m"],
                        "radius": "100m",
                        "weather": [{"at": "0s", "is": "day"}, {"at": "1s", "is": "fog", "fade": "0s"}],
                    }
                ],
            }
        },
        "cameras": [
            {"id": "cam1", "at": ["-4m", "-24m"], **place},
            {"id": "cam2", "at": ["24m", "4m"], **place},
            {"id": "cam3", "at": ["4m", "24m"], **place},
        ],
        "faults": faults(stream(seed, "schedule")),
    }


def faults(random: np.random.Generator) -> list[dict[str, Any]]:
    """One to six faults, which may overlap. All that last end by ``LAST_FAULT_S``.

    No wire is taken down twice, since a scenario refuses to take down what is down.
    """
    made: list[dict[str, Any]] = []
    for _ in range(int(random.integers(1, 7))):
        fault = _fault(random)
        if _taken_down(fault) is None or _taken_down(fault) not in map(_taken_down, made):
            made.append(fault)
    return made


def _taken_down(fault: dict[str, Any]) -> str | None:
    """The wire that a fault takes down, if it does. The two shared links are one wire."""
    if not fault.keys() & {"down", "flap"}:
        return None
    return "shared" if fault["on"] in ("bottleneck", "downlink") else fault["on"]


def _fault(random: np.random.Generator) -> dict[str, Any]:
    at = round(float(random.uniform(0, LAST_FAULT_S - 0.5)), 3)
    most = LAST_FAULT_S - at
    lasts = f"{random.uniform(0.05, most):.3f}s"
    on = str(random.choice(LINKS))
    match str(random.choice(["down", "flap", "cliff", "partition", "blackhole", "set"])):
        case "down":
            return {"at": f"{at}s", "on": on, "down": {"for": lasts}}
        case "flap":
            down, up = random.uniform(0.05, 0.6, 2)
            times = max(1, int(most / (down + up)))
            return {
                "at": f"{at}s",
                "on": on,
                "flap": {"down": f"{down:.3f}s", "up": f"{up:.3f}s", "times": min(times, 5)},
            }
        case "cliff":
            return {
                "at": f"{at}s",
                "on": on,
                "cliff": {"rate": f"{random.integers(20, 400)}kbit", "for": lasts},
            }
        case "partition":
            one = str(random.choice(CAMERAS))
            rest = [camera for camera in CAMERAS if camera != one]
            return {"at": f"{at}s", "partition": {"sets": [[one], [*rest, "server"]], "for": lasts}}
        case "blackhole":
            camera = str(random.choice(CAMERAS))
            direction = str(random.choice(["up", "down"]))
            return {"at": f"{at}s", "on": camera, "blackhole": {"direction": direction, "for": lasts}}
        case _:
            camera = str(random.choice(CAMERAS))
            return {
                "at": f"{at}s",
                "on": camera,
                "set": {
                    "rate": f"{random.integers(250, 900)}kbit",
                    "loss": f"{random.uniform(0, 3):.2f}%",
                    "duplicate": f"{random.uniform(0, 2):.2f}%",
                    "corrupt": f"{random.uniform(0, 2):.2f}%",
                },
            }


def small_student(folder: Path) -> Path:
    """The shipped student with a file of 20 kB, which crosses a link in no time."""
    from ecco_emu.scenario.profiles import curve_path

    fit = parse(curve_path("yolo11n-town").read_text(), "fit").data
    fit["file_bytes"] = 20_000
    path = folder / "small.yaml"
    path.write_text(json.dumps(fit))
    load_fit(str(path))
    return path


# -- the rules --


def broken_rules(events: list[dict[str, Any]]) -> list[str]:
    """What a run did that no run may do."""
    return [*_segments(events), *_gpus(events), *_groups(events), *_end(events)]


def of_kind(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["kind"] == kind]


def _segments(events: list[dict[str, Any]]) -> list[str]:
    """Each segment is sent once at most, and has one fate, soon."""
    wrong = []
    sent: dict[tuple[str, int], float] = {}
    fates: Counter[tuple[str, int]] = Counter()
    last: dict[str, int] = {}
    for event in of_kind(events, "segment"):
        key = event["camera"], event["sequence"]
        if event["state"] == "sent":
            if key in sent:
                wrong.append(f"{key} was sent twice")
            if event["sequence"] <= last.get(event["camera"], -1):
                wrong.append(f"{key} was sent after a later one")
            sent[key], last[event["camera"]] = event["t"], event["sequence"]
        else:
            fates[key] += 1
            if event["state"] != "lost" and key not in sent:
                wrong.append(f"{key} arrived but was never sent")
    wrong += [f"{key} had {count} fates" for key, count in fates.items() if count > 1]
    end = events[-1]["t"]
    wrong += [
        f"{key}, sent at {t:g} s, has no fate"
        for key, t in sent.items()
        if key not in fates and t < end - DEADLINE_S
    ]
    return wrong


def _gpus(events: list[dict[str, Any]]) -> list[str]:
    """Each micro-window comes once, in order, and takes no more GPU time than it has."""
    wrong = []
    places = [(event["window"], event["index"]) for event in of_kind(events, "micro_window")]
    if places != sorted(set(places)):
        wrong.append(f"micro-windows {places}")
    for event in of_kind(events, "micro_window"):
        if event["charged"] > event["budget"] + 1e-9:
            wrong.append(f"{event['charged']:g} of {event['budget']:g} images charged")
        if event["train_wall_s"] > 2.0 + 1e-9:
            wrong.append(f"a micro-window trained {event['train_wall_s']:g} s")
        if event["late"]:
            wrong.append(f"a micro-window at {event['start']:g} s ended late")
    return wrong


def _groups(events: list[dict[str, Any]]) -> list[str]:
    """A camera is in one group at most, and the groups' shares sum to one."""
    wrong = []
    member_of: dict[str, str] = {}
    for event in events:
        match event["kind"]:
            case "job_created" | "job_joined":
                if event["camera"] in member_of:
                    wrong.append(f"{event['camera']} is in {member_of[event['camera']]} and {event['job']}")
                member_of[event["camera"]] = event["job"]
            case "job_left":
                member_of.pop(event["camera"], None)
            case "job_ended":
                member_of = {camera: job for camera, job in member_of.items() if job != event["job"]}
            case "window_ended":
                counted = Counter(camera for group in event["groups"] for camera in group["members"])
                wrong += [f"{camera} is in {n} groups" for camera, n in counted.items() if n > 1]
                shares = [group["p"] for group in event["groups"]]
                if shares and abs(sum(shares) - 1) > 0.02 * len(shares):
                    wrong.append(f"shares {shares}")
    return wrong


def _end(events: list[dict[str, Any]]) -> list[str]:
    """The run ends well, and every camera that streams is heard after the last fault."""
    [ended] = of_kind(events, "run_ended")
    wrong = [] if ended["status"] == "ok" else [f"it ended {ended['status']}: {ended['reasons']}"]
    streaming = {
        event["camera"]: event["state"] == "streaming" for event in of_kind(events, "camera_configured")
    }
    heard = {
        event["camera"]
        for event in of_kind(events, "segment")
        if event["state"] == "delivered" and event["t"] > LAST_FAULT_S
    }
    wrong += [
        f"{camera} was not heard again" for camera, on in streaming.items() if on and camera not in heard
    ]
    return wrong
