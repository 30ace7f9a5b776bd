"""Students, teacher and evaluation: the only package that imports torch and Ultralytics.

``client`` and ``evaluate`` may be imported by the event-loop process; they do not import torch. The
rest lives in worker processes (DESIGN decision 6).
"""

import os

# Read when Ultralytics is imported: no look at the network, no notice about its settings file.
os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_VERBOSE", "false")
os.environ.setdefault("YOLO_AUTOINSTALL", "false")
