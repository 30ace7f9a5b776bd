"""The edge server's GPUs and the cameras' inference.

``backend`` is the trainer's interface, ``yolo`` trains behind it and is the only package that imports torch,
``client`` starts and calls its processes, ``teacher`` labels the frames.
"""
