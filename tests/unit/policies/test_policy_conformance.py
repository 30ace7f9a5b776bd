"""What every policy must do, whichever it is: a new policy passes these by being listed in the registry."""

import math
from collections.abc import Iterator

import pytest

from ecco_emu.control.allocator import Allocator, GpuEstimate
from ecco_emu.control.sampling import MIN_FPS
from ecco_emu.control.shares import AlphaMapping
from ecco_emu.control.transmission import CameraLimits
from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.ids import JobId
from ecco_emu.policies import steering
from ecco_emu.policies.base import Policy, PolicySetup
from ecco_emu.policies.registry import POLICY_NAMES, make_policy
from ecco_emu.scenario.sections.transport import TransportSection

LIMITS = CameraLimits(fps=10.0, width=320, height=192)
MICRO_WINDOWS, GPUS = 7, 2
JOBS = {JobId("a"): 3, JobId("b"): 1, JobId("c"): 2}


@pytest.fixture(params=POLICY_NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def policy(name: str) -> Policy:
    return fresh(name)


def fresh(name: str) -> Policy:
    return make_policy(name, PolicySetup(gpus=GPUS, micro_windows=MICRO_WINDOWS))


def accuracies() -> Iterator[tuple[float, float]]:
    """Gains that are good, flat, bad and good again."""
    while True:
        yield from ((0.1, 0.3), (0.2, 0.2), (0.4, 0.3), (0.3, 0.35))


def spend(allocator: Allocator) -> list[JobId]:
    order: list[JobId] = []
    for before, after in accuracies():
        job = allocator.next_job()
        if job is None:
            return order
        assert job == allocator.next_job()
        allocator.record(job, before, after)
        order.append(job)
        assert len(order) <= MICRO_WINDOWS
    raise AssertionError("unreachable")


def assert_sums(estimate: dict[JobId, GpuEstimate]) -> None:
    assert sum(share.p for share in estimate.values()) == pytest.approx(1.0)
    assert sum(share.c for share in estimate.values()) == pytest.approx(MICRO_WINDOWS * GPUS)
    assert all(share.p > 0 for share in estimate.values())


def test_it_has_the_shape_of_a_policy(policy: Policy, name: str) -> None:
    assert isinstance(policy, Policy)
    assert policy.name == name
    assert isinstance(policy.grouping, bool)


def test_every_micro_window_is_used_once_and_every_job_is_trained(policy: Policy) -> None:
    for _ in range(3):
        allocator = policy.new_window(JOBS)
        order = spend(allocator)
        assert len(order) == MICRO_WINDOWS
        assert set(order) == set(JOBS)
        assert allocator.remaining == 0


def test_estimates_sum_to_the_whole_before_during_and_after(policy: Policy) -> None:
    allocator = policy.new_window(JOBS)
    assert_sums(allocator.estimate())
    for before, after in accuracies():
        job = allocator.next_job()
        if job is None:
            break
        allocator.record(job, before, after)
        assert_sums(allocator.estimate())
    assert allocator.initial_pass_complete


def test_it_is_deterministic_and_blind_to_the_order_jobs_are_named_in(name: str) -> None:
    runs = []
    for jobs in (JOBS, dict(reversed(JOBS.items()))):
        policy = fresh(name)
        runs.append([spend(policy.new_window(jobs)) for _ in range(3)])
    assert runs[0] == runs[1]


def test_no_jobs_no_training(policy: Policy) -> None:
    allocator = policy.new_window({})
    assert allocator.next_job() is None
    assert allocator.estimate() == {}
    allocator.skip()
    allocator.add_job(JobId("late"), 1)
    assert spend(allocator) == ["late"] * (MICRO_WINDOWS - 1)


def test_more_jobs_than_micro_windows_all_have_their_turn(policy: Policy) -> None:
    jobs = {JobId(f"j{index:02}"): 1 for index in range(3 * MICRO_WINDOWS)}
    trained = [job for _ in range(3) for job in spend(policy.new_window(jobs))]
    assert sorted(trained) == sorted(jobs)


def test_jobs_may_come_and_go_between_windows(policy: Policy) -> None:
    spend(policy.new_window(JOBS))
    assert spend(policy.new_window({JobId("d"): 1})) == ["d"] * MICRO_WINDOWS
    assert set(spend(policy.new_window(JOBS))) == set(JOBS)


def test_jobs_may_come_and_go_within_a_window(policy: Policy) -> None:
    allocator = policy.new_window(JOBS)
    assert allocator.next_job() == "a"
    allocator.remove_job(JobId("a"))
    allocator.record(JobId("a"), 0.1, 0.2)
    allocator.add_job(JobId("d"), 1)
    allocator.resize_job(JobId("b"), 4)
    order = spend(allocator)
    assert len(order) == MICRO_WINDOWS - 1
    assert set(order) == {"b", "c", "d"}


@pytest.mark.parametrize(
    ("c", "p", "members"), [(0.0, 0.0, 1), (1.0, 0.1, 3), (14.0, 1.0, 1), (14.0, 1.0, 12)]
)
def test_every_plan_is_one_the_camera_can_carry_out(policy: Policy, c: float, p: float, members: int) -> None:
    plan = policy.transmission.plan(c, p, members, LIMITS)
    assert plan.fps == LIMITS.fps / plan.stride
    assert MIN_FPS <= plan.fps <= LIMITS.fps
    assert plan.width % 32 == plan.height % 32 == 0
    assert plan.width <= LIMITS.width
    assert plan.height <= LIMITS.height
    assert plan.alpha > 0
    assert policy.transmission.alpha(p, members) == plan.alpha


def test_ecco_groups_and_follows_the_gpu_share_and_naive_does_neither() -> None:
    ecco, naive = fresh("ecco"), fresh("naive")
    assert ecco.grouping
    assert not naive.grouping
    rich, poor = (ecco.transmission.plan(14 * p, p, 1, LIMITS) for p in (0.8, 0.1))
    assert rich.alpha == pytest.approx(8 * poor.alpha)
    assert rich.fps > poor.fps
    assert naive.transmission.plan(11.2, 0.8, 1, LIMITS) == naive.transmission.plan(1.4, 0.1, 1, LIMITS)
    assert naive.transmission.plan(1.4, 0.1, 1, LIMITS).alpha == 1.0


def test_ecco_takes_its_parameters_from_the_scenario() -> None:
    gains = {JobId("a"): 0.04, JobId("b"): 0.08}
    chosen = {}
    for size_weight in (0.0, 1.0):
        setup = PolicySetup(gpus=1, micro_windows=10, size_weight=size_weight, fairness=0.0)
        allocator = make_policy("ecco", setup).new_window({JobId("a"): 4, JobId("b"): 1})
        for _ in gains:
            job = allocator.next_job()
            assert job is not None
            allocator.record(job, 0.3, 0.3 + gains[job])
        chosen[size_weight] = allocator.next_job()
    assert chosen == {0.0: "b", 1.0: "a"}


def test_an_unknown_policy_is_the_scenarios_fault() -> None:
    with pytest.raises(ScenarioError, match="there are: ecco, naive"):
        make_policy("best", PolicySetup(gpus=1, micro_windows=10))


@pytest.mark.parametrize("mapping", ["linear", "root", "auto"])
def test_the_mapping_is_the_transmissions_and_shares_are_reported_with_auto_alone(
    name: str, mapping: AlphaMapping
) -> None:
    rule = make_policy(name, PolicySetup(gpus=1, micro_windows=10, mapping=mapping)).transmission
    assert rule.follows_shares == (rule.weight(0.5, 1) is not None)
    assert rule.follows_shares == (name == "ecco" and mapping == "auto")


def test_cameras_and_server_are_configured_by_the_rule_and_the_scenario() -> None:
    settings = TransportSection(beta=0.7, download_alpha=3.0)
    for name in POLICY_NAMES:
        rule = make_policy(name, PolicySetup(gpus=1, micro_windows=10, mapping="auto")).transmission
        config = steering.camera_config(settings, rule)
        assert (config.beta, config.alpha, config.follow_shares) == (0.7, 1.0, rule.follows_shares)
        assert steering.server_config(settings).alpha == 3.0


@pytest.mark.parametrize(
    ("uplink_bps", "interval_s"), [(4e6, 0.025), (200e3, 0.072), (50e3, 0.1), (math.inf, 0.025)]
)
def test_acknowledgements_of_downloads_take_a_twentieth_of_an_uplink(
    uplink_bps: float, interval_s: float
) -> None:
    rule = make_policy("ecco", PolicySetup(gpus=1, micro_windows=10)).transmission
    config = steering.camera_config(TransportSection(), rule, uplink_bps=uplink_bps)
    assert config.ack_interval_s == pytest.approx(interval_s)
