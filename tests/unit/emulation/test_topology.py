"""Emulated units become the host's, and the lab has the links the scenario names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecco_emu.emulation.calibration import HostSpeed, choose_dilation, trainer_load
from ecco_emu.emulation.topology import SERVER, host_shape, lab_spec
from ecco_emu.scenario import schema
from ecco_emu.scenario.loading import from_mapping


def scenario(**changes: object) -> schema.Scenario:
    return from_mapping(
        {
            "version": 1,
            "name": "two",
            "windows": {"count": 2, "length": "20s", "micro": "2s"},
            "trainer": {"gpus": 2, "gpu_speed": 40, "eval_frames": 8},
            "network": {
                "bottleneck": {"rate": "6mbit", "delay": "10ms", "queue": "200ms"},
                "uplink": {"rate": "4mbit", "delay": "5ms", "loss": "1%"},
            },
            "world": {
                "town": {
                    "districts": [
                        {
                            "name": "all",
                            "center": ["0m", "0m"],
                            "radius": "100m",
                            "weather": [{"at": "0s", "is": "day"}],
                        }
                    ]
                }
            },
            "cameras": [
                {"id": "cam1", "at": ["0m", "0m"], "source": {"look_at": ["9m", "0m"]}},
                {
                    "id": "cam2",
                    "at": ["9m", "0m"],
                    "source": {"look_at": ["0m", "0m"]},
                    "uplink": {"rate": "800kbit"},
                },
            ],
            **changes,
        },
        files=False,
    )


def test_dilation_divides_rates_and_multiplies_delays_and_keeps_queues_in_bytes() -> None:
    shape = schema.Shape.model_validate({"rate": "6mbit", "delay": "10ms", "queue": "200ms"})
    host = host_shape(shape, 4.0)
    assert host.rate_bps == 1.5e6
    assert host.delay_s == pytest.approx(0.04)
    assert host.queue_s is not None
    assert host.rate_bps * host.queue_s == pytest.approx(6e6 * 0.2)


def test_every_camera_has_its_uplink_and_the_server_the_bottleneck() -> None:
    spec = lab_spec(scenario(), 1.0)
    links = {link.name: link for link in spec.links}
    assert set(links) == {SERVER, "cam1", "cam2"}
    assert links[SERVER].ingress.rate_bps == 6e6
    assert links[SERVER].egress.rate_bps == 50e6
    assert links["cam1"].egress.rate_bps == 4e6
    assert links["cam2"].egress.rate_bps == 800e3
    assert links["cam2"].egress.loss == pytest.approx(0.01)  # what it does not override it inherits
    assert links["cam1"].ingress.rate_bps is None
    assert links["cam1"].ingress.delay_s == pytest.approx(5e-3)


SPEED = HostSpeed(
    train_images_per_s=30.0, infer_images_per_s=90.0, edge_images_per_s=50.0, cores=2, trainer_threads=1
)


def test_a_slower_host_needs_more_dilation_and_a_fast_one_none() -> None:
    slow = choose_dilation(scenario(), SPEED)
    slower = choose_dilation(
        scenario(),
        HostSpeed(
            train_images_per_s=15.0,
            infer_images_per_s=45.0,
            edge_images_per_s=25.0,
            cores=2,
            trainer_threads=1,
        ),
    )
    fast = choose_dilation(
        scenario(),
        HostSpeed(
            train_images_per_s=1e5,
            infer_images_per_s=1e5,
            edge_images_per_s=1e5,
            cores=64,
            trainer_threads=63,
        ),
    )
    assert fast == 1.0
    assert 2.0 < slow < slower


def test_training_and_the_rest_add_up_only_where_they_share_a_core() -> None:
    beside = choose_dilation(scenario(), SPEED)
    shared = choose_dilation(scenario(), replace(SPEED, trainer_threads=2))
    alone = choose_dilation(scenario(), replace(SPEED, cores=1))
    assert beside < shared < alone


def test_the_trainers_load_is_images_over_speed() -> None:
    # 2 GPUs * 40 images/s = 80 images/s at 30 images/s is 2.67 s of training per emulated second, and
    # 2 cameras * 8 frames measured twice every 2 s at 90 images/s is 0.18 s.
    load = trainer_load(scenario(), SPEED)
    assert load == pytest.approx(80 / 30 + 32 / 90 / 2, abs=0.06)
