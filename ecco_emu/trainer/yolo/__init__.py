"""YOLO11n students, really trained: the only package that imports torch and Ultralytics.

Everything here runs in child processes, so that the event loop never waits for torch. ``trainer.client``
starts them (docs/reference/trainer.md).
"""

import os

# Ultralytics reads these when it is imported. Without them it looks for updates on the network, prints a
# notice about its settings file and installs packages that it misses.
os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_VERBOSE", "false")
os.environ.setdefault("YOLO_AUTOINSTALL", "false")
