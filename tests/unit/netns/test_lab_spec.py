import math
import statistics

import pytest

from netns import BurstLoss, LabSpec, LinkSpec, Shape, SpecError
from netns.delay_line import TABLE_SCALE
from netns.impairment import DISTRIBUTIONS, jitter_table


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate_bps": 0}, "rate_bps=0"),
        ({"rate_bps": float("nan")}, "not a finite number"),
        ({"rate_bps": "1mbit"}, "not a finite number"),
        ({"rate_bps": True}, "not a finite number"),
        ({"delay_s": None}, "not a finite number"),
        ({"rate_bps": 1e6, "queue_s": 0.1, "queue_bytes": 5000}, "not both"),
        ({"rate_bps": 1e6, "queue_s": 0}, "queue_s=0"),
        ({"rate_bps": 1e6, "queue_bytes": 0}, "queue_bytes=0"),
        ({"rate_bps": 50e9, "queue_s": 10}, "over 2 GiB"),
        ({"delay_s": -0.001}, "delay_s=-0.001"),
        ({"delay_s": 0.01, "jitter_s": 0.02}, "no packet arrives before it was sent"),
        ({"loss": 1.01}, "probability"),
        ({"loss": float("inf")}, "probability"),
        ({"duplicate": "often"}, "duplicate='often' is not a probability"),
        ({"reorder": 0.1}, "reorder needs a delay_s"),
        ({"delay_s": 0.1, "jitter_distribution": "cauchy"}, "none of uniform, normal, pareto"),
        ({"loss": 0.1, "burst_loss": BurstLoss(0.1, 0.5)}, "loss or burst_loss, not both"),
    ],
)
def test_a_shape_that_no_link_can_have_is_refused(values, message):
    with pytest.raises(SpecError, match=message):
        Shape(**values)


@pytest.mark.parametrize("name", ["", "1cam", "-x", "a" * 33, "cam 1", "cam/1", "käse", "cam1\n"])
def test_bad_node_names(name):
    with pytest.raises(SpecError, match="node name"):
        LinkSpec(name)


def test_a_node_name_may_be_longer_than_a_device_name():
    assert LinkSpec("a" * 32).name == "a" * 32


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"links": ()}, "1 to 1023 links, not 0"),
        ({"links": tuple(LinkSpec(f"n{i}") for i in range(1024))}, "not 1024"),
        ({"links": (LinkSpec("a"), LinkSpec("b"), LinkSpec("a"))}, "more than once: a$"),
        ({"links": (LinkSpec("a"),), "engine": "tc"}, "'tc' is none of"),
        ({"links": tuple(LinkSpec(f"n{i}") for i in range(7)), "subnet": "10.0.0.0/29"}, "too few addresses"),
        ({"links": (LinkSpec("a"),), "subnet": "10.0.0.1/24"}, "host bits"),
        ({"links": (LinkSpec("a"),), "mtu_bytes": 100}, "mtu_bytes=100"),
    ],
)
def test_a_lab_that_cannot_be_is_refused(values, message):
    with pytest.raises(SpecError, match=message):
        LabSpec(**values)


def test_impaired_is_about_delay_jitter_and_loss_only():
    assert not LinkSpec("a", egress=Shape(rate_bps=1e6, queue_s=1.0)).impaired
    assert LinkSpec("a", ingress=Shape(loss=0.1)).impaired
    assert LinkSpec("a", egress=Shape(delay_s=0.1)).impaired
    assert LinkSpec("a", live_impairments=True).impaired


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BurstLoss(enter=1.5, leave=0.5), "enter=1.5"),
        (lambda: BurstLoss(enter=0.5, leave=0.0), "never ends"),
        (lambda: BurstLoss.of(0.0, 4), "mean burst loss of 0"),
        (lambda: BurstLoss.of(0.1, 0.5), "shorter than one"),
        (lambda: BurstLoss.of(0.9, 2), "enter=4.5"),
    ],
)
def test_burst_losses_that_cannot_be(make, message):
    with pytest.raises(SpecError, match=message):
        make()


def test_burst_loss_by_what_it_does():
    model = BurstLoss.of(mean_loss=0.1, burst_packets=5)
    assert model.leave == 0.2
    assert model.mean_loss == pytest.approx(0.1)
    assert BurstLoss(0.0, 0.0, loss_good=0.25).mean_loss == 0.25


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_jitter_tables_are_centred_and_as_wide_as_they_say(name):
    values = [value / TABLE_SCALE for value in jitter_table(name)]
    assert statistics.fmean(values) == pytest.approx(0.0, abs=0.02)
    width = 1 / math.sqrt(3) if name == "uniform" else 1.0
    assert statistics.pstdev(values) == pytest.approx(width, rel=0.02)
    assert max(values) <= (1.0 if name == "uniform" else 4.0)
