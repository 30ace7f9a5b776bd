"""The retraining window with literal times."""

import itertools

import pytest

from ecco_emu.control.windows import (
    TRANSITIONS,
    Calendar,
    Slot,
    Step,
    WindowMachine,
    WindowState,
    WrongStateError,
)


def calendar(count: int = 2) -> Calendar:
    return Calendar(length_s=6.0, micro_s=2.0, count=count, origin_s=10.0)


def test_boundaries_are_exact_for_lengths_that_floats_cannot_hold() -> None:
    odd = Calendar(length_s=0.9, micro_s=0.3, count=1000)
    for window, index in itertools.product((0, 7, 999), range(3)):
        slot = odd.slot(window, index)
        assert slot.end_s == (odd.slot(window, index + 1).start_s if index < 2 else odd.window_end(window))


def test_a_window_is_a_whole_number_of_micro_windows() -> None:
    with pytest.raises(ValueError, match="whole number"):
        Calendar(length_s=5.0, micro_s=2.0, count=1)
    with pytest.raises(IndexError):
        calendar().slot(0, 3)


def test_a_whole_run_walks_every_boundary() -> None:
    machine = WindowMachine(calendar())
    deadlines = [machine.next_deadline()]
    for window in range(2):
        assert machine.open() == window
        while (slot := machine.upcoming()) is not None:
            assert machine.lose(slot.start_s) == 0
            deadlines.append(machine.next_deadline())
            machine.train()
            deadlines.append(machine.next_deadline())
            assert not machine.trained(slot.end_s).late
        machine.close()
    assert deadlines == [10, 10, 12, 12, 14, 14, 16, 16, 18, 18, 20, 20, 22]
    machine.finish()
    assert machine.state is WindowState.DONE
    assert machine.next_deadline() is None


def test_training_that_overruns_a_little_misses_its_deadline_but_loses_nothing() -> None:
    machine = WindowMachine(calendar())
    machine.open()
    machine.train()
    outcome = machine.trained(12.7)
    assert outcome.late
    assert outcome.overrun_s == pytest.approx(0.7)
    assert machine.lose(12.7) == 0
    assert machine.train() == Slot(0, 1, 12.0, 14.0)


def test_training_that_overruns_by_more_than_half_loses_micro_windows() -> None:
    machine = WindowMachine(calendar())
    machine.open()
    machine.train()
    machine.trained(15.5)
    assert machine.lose(15.5) == 2
    assert machine.upcoming() is None
    assert machine.next_deadline() == 16.0
    with pytest.raises(WrongStateError, match="no micro-window left"):
        machine.train()


def test_late_start_and_tolerance_are_parameters() -> None:
    strict = WindowMachine(calendar(), late_start=1.0, tolerance_s=0.2)
    strict.open()
    strict.train()
    assert not strict.trained(12.1).late
    assert strict.lose(12.1) == 1


def test_idle_micro_windows_pass_without_training() -> None:
    machine = WindowMachine(calendar())
    machine.open()
    assert machine.idle().index == 0
    assert machine.state is WindowState.READY
    assert machine.next_deadline() == 12.0


def test_steps_out_of_order_are_refused() -> None:
    machine = WindowMachine(calendar(count=1))
    with pytest.raises(WrongStateError, match="only in READY"):
        machine.train()
    with pytest.raises(WrongStateError, match="still to come"):
        machine.finish()
    machine.open()
    with pytest.raises(WrongStateError, match="every window"):
        machine.open()
    with pytest.raises(WrongStateError, match="TRAINED is not possible in READY"):
        machine.trained(11.0)
    machine.train()
    with pytest.raises(WrongStateError, match="CLOSE is not possible in TRAINING"):
        machine.close()
    assert machine.state is WindowState.TRAINING


def test_the_table_covers_every_state_and_every_state_can_be_reached() -> None:
    assert TRANSITIONS.keys() == set(WindowState)
    targets = {target for steps in TRANSITIONS.values() for target in steps.values()}
    assert targets | {WindowState.WAITING} == set(WindowState)
    assert {step for steps in TRANSITIONS.values() for step in steps} == set(Step)
