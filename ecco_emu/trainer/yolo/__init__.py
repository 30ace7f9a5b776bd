"""YOLO11n students, really trained: the only package that imports torch and Ultralytics.

Everything here runs in child processes, so that the event loop never waits for torch. ``trainer.client``
starts them (docs/reference/trainer.md).
"""

import importlib
import os
import tempfile

# Ultralytics reads these when it is imported. Without them it looks for updates on the network, prints a
# notice about its settings file and installs packages that it misses.
os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_VERBOSE", "false")
os.environ.setdefault("YOLO_AUTOINSTALL", "false")


def _import_ultralytics() -> None:
    """Imports Ultralytics with settings of its own, which are gone afterwards.

    While it is imported, it reads the user's settings file, and rewrites one that another release made, keys
    of the user's accounts included. Nothing here depends on these settings.
    """
    before = os.environ.get("YOLO_CONFIG_DIR")
    with tempfile.TemporaryDirectory(prefix="ecco-emu-") as folder:
        os.environ["YOLO_CONFIG_DIR"] = folder
        try:
            importlib.import_module("ultralytics.utils")
        finally:
            del os.environ["YOLO_CONFIG_DIR"]
            if before is not None:
                os.environ["YOLO_CONFIG_DIR"] = before


_import_ultralytics()
