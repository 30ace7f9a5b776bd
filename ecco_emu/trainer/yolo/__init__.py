"""YOLO11n students, really trained: the only package that imports torch and Ultralytics.

Everything here runs in worker processes (design, decision 6); ``trainer.client`` starts them.
"""

import os

# Read when Ultralytics is imported: no look at the network, no notice about its settings file.
os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_VERBOSE", "false")
os.environ.setdefault("YOLO_AUTOINSTALL", "false")
