"""Extras: libraries that only some verbs need. One place says which are missing, and how to get them.

The base has the link lab, the transport, scenarios, the world and reports. torch with its CUDA libraries is
eight times as large: it comes with the extra ``yolo``. Code that needs an extra calls ``require`` before it
imports the libraries.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass

from ecco_emu.core.errors import HostError


@dataclass(frozen=True, slots=True)
class Extra:
    """An extra of pyproject.toml."""

    name: str
    modules: tuple[str, ...]
    """The libraries whose absence shows that it is not installed."""
    needed_by: str
    """The work that cannot be done without it, in the plural."""

    @property
    def install(self) -> str:
        """The command that installs it into this Python's environment."""
        return f"{sys.executable} -m pip install 'ecco-emu[{self.name}]'"

    def missing(self) -> str | None:
        """One line that names the missing libraries and the command that installs them, or None.

        Imports none of them.
        """
        absent = [module for module in self.modules if importlib.util.find_spec(module) is None]
        if not absent:
            return None
        verb = "is" if len(absent) == 1 else "are"
        return f"{' and '.join(absent)} {verb} not installed, which {self.needed_by} need: {self.install}"

    def require(self) -> None:
        """Raises ``HostError`` with the text of ``missing``, unless all of its libraries are installed."""
        reason = self.missing()
        if reason is not None:
            raise HostError(reason)


YOLO = Extra("yolo", ("torch", "ultralytics"), "runs with 'trainer: {backend: yolo}' and pretraining")
BENCH = Extra("bench", ("aioquic", "cryptography"), "measurements beside QUIC")
