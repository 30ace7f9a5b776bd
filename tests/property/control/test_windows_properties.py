"""The window machine under any training times: bounded, in order, everything accounted for."""

from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.control.windows import Calendar, WindowMachine, WindowState


@given(
    st.integers(1, 4),
    st.integers(1, 8),
    st.floats(0.05, 10.0),
    st.lists(st.floats(0.0, 5.0), min_size=40, max_size=40),
)
def test_every_micro_window_is_used_lost_or_idle_exactly_once(
    windows: int, parts: int, micro_s: float, durations: list[float]
) -> None:
    calendar = Calendar(length_s=parts * micro_s, micro_s=micro_s, count=windows)
    machine = WindowMachine(calendar)
    now, used, lost = 0.0, [], 0
    takes = iter(durations)
    for window in range(windows):
        now = max(now, machine.next_deadline() or 0.0)
        assert machine.open() == window
        while True:
            lost += machine.lose(now)
            slot = machine.upcoming()
            if slot is None:
                break
            start = max(now, slot.start_s)
            assert slot.end_s > start
            machine.train()
            now = start + next(takes) * micro_s
            outcome = machine.trained(now)
            assert outcome.late == (now > slot.end_s)
            used.append((slot.window, slot.index))
        machine.close()
    machine.finish()
    assert machine.state is WindowState.DONE
    assert used == sorted(set(used))
    assert len(used) + lost == windows * parts
