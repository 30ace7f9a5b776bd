"""The scenario with which a person begins: ``ecco-emu init`` writes it."""

from __future__ import annotations

import re
from pathlib import Path

from ecco_emu.core.errors import ScenarioError

TEMPLATE = Path(__file__).with_name("starter.yaml")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def write(file: Path) -> None:
    """Writes a commented scenario that can run, named after its file.

    Raises ``ScenarioError`` if something is there already, or nothing can be written there.
    """
    name = file.stem if _NAME.fullmatch(file.stem) else "my-scenario"
    text = TEMPLATE.read_text(encoding="utf-8").replace("NAME", name).replace(" FILE", f" {file.name}")
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise ScenarioError(f"{file} is there already; give another name") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ScenarioError(f"{file} cannot be written: {reason}") from None
