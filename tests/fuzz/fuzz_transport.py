"""Coverage-guided fuzzing of the transport: ``make fuzz``, or this file with libFuzzer's options.

python -m tests.fuzz.fuzz_transport -max_total_time=60 [corpus folder]
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["ecco_emu.transport"]):
    from tests.fuzz import hostile


def main() -> None:
    atheris.Setup(sys.argv, hostile.play)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
