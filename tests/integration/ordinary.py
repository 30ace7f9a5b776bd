"""How a test that runs as root runs a command as an ordinary user."""

from __future__ import annotations

import subprocess
import sys

NOBODY = 65534
ORDINARY = ["setpriv", f"--reuid={NOBODY}", "--clear-groups"]
"""Put in front of a command."""
# by a shell: setpriv itself still has root's rights when it executes the command
if subprocess.run(
    [*ORDINARY, "sh", "-c", f"exec '{sys.executable}' -c ''"], stderr=subprocess.DEVNULL
).returncode:
    # the interpreter is in root's home: then root without a single capability stands for an ordinary user
    ORDINARY, NOBODY = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"], 0
