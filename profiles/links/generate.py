"""Makes the traces in this folder: `python profiles/links/generate.py`. Synthetic, each from its own seed.

lte.mahimahi   60 s, Mahimahi's format: log-normal rate around 3 Mbit/s that wanders within seconds, with the
               dips of a handover every 15 to 25 s.
wifi.csv       60 s in steps of 0.2 s: steps between modulation rates, shared air, delay and loss that rise
               when the rate falls.
commuter.csv   300 s in steps of 1 s: a train ride between stations, cells that come and go, two tunnels
               without any signal.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

HERE = Path(__file__).parent
FRAME_BITS = 8 * 1514


def lte() -> str:
    """Opportunities: the rate's integral, in packets, passes a whole number."""
    rng = random.Random("lte")
    level, credit, times = 0.0, 0.0, []
    handovers = [start + rng.uniform(-5, 5) for start in (12, 32, 52)]
    for ms in range(1, 60_001):
        # an Ornstein-Uhlenbeck process with a time constant of 2 s and a deviation of 0.5 in the logarithm
        level += -level * 0.001 / 2.0 + 0.5 * math.sqrt(2 * 0.001 / 2.0) * rng.gauss(0, 1)
        near = min(abs(ms / 1000 - at) for at in handovers)
        factor = 0.1 if near < 0.3 else 1.0
        credit += 3e6 * math.exp(level - 0.125) * factor * 0.001 / FRAME_BITS
        while credit >= 1:
            credit -= 1
            times.append(ms)
    if times[-1] < 60_000:  # its last time is its length
        times.append(60_000)
    return "\n".join(map(str, times)) + "\n"


def wifi() -> str:
    rng = random.Random("wifi")
    rates_bps = (6.5e6, 13e6, 19.5e6, 26e6, 39e6, 52e6)
    index, rows = 3, ["time_s,rate_bps,delay_s,loss"]
    for step in range(300):
        if rng.random() < 0.15:
            index = max(0, min(len(rates_bps) - 1, index + rng.choice((-1, 1))))
        others = 0.65 if rng.random() < 0.8 else rng.uniform(0.15, 0.5)  # the air that is left to us
        rate_bps = rates_bps[index] * others
        delay_s = 0.002 + 0.05 * 1e6 / rate_bps + rng.expovariate(1000)
        loss = max(0.0, 0.02 - 0.004 * index) + (0.01 if others < 0.3 else 0.0)
        rows.append(f"{step * 0.2:.1f},{rate_bps:.0f},{delay_s:.4f},{loss:.3f}")
    rows.append(f"60.0,{rate_bps:.0f},{delay_s:.4f},{loss:.3f}")
    return "\n".join(rows) + "\n"


def commuter() -> str:
    rng = random.Random("commuter")
    tunnels = ((95, 107), (214, 220))
    rows = ["time_s,rate_bps,delay_s,loss"]
    phase, level = 0.0, 0.0
    for second in range(300):
        moving = second % 100 > 20  # 20 s at a station, 80 s to the next
        phase += (2 * math.pi / 23) if moving else 0.02  # from cell to cell in 23 s at full speed
        level += -level / 4 + 0.25 * rng.gauss(0, 1)
        rate_bps = 5e6 * math.exp(0.9 * math.sin(phase) + level - 0.4)
        delay_s = 0.03 + 0.04 * (1 - math.sin(phase)) / 2
        if any(start <= second < end for start, end in tunnels):
            rate_bps = 0.0
        rate_bps = rate_bps and max(100e3, rate_bps)
        rows.append(f"{second},{rate_bps:.0f},{delay_s:.3f},{0.002 if moving else 0:g}")
    rows.append(f"300,{rate_bps:.0f},{delay_s:.3f},0")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Writes all three beside this file."""
    for name, text in (("lte.mahimahi", lte()), ("wifi.csv", wifi()), ("commuter.csv", commuter())):
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
