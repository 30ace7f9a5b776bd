"""Fits the trainer ``curve`` to recorded runs of ``yolo``, and says how far it is from them.

``recorded`` reads the runs, ``learning`` fits how skills grow to their measured students, ``watched`` lets
some of these students look at rendered frames, ``seeing`` fits noise and confidence to their detections, and
``replay`` takes the recorded decisions again on the model. ``command`` puts them together.
"""
