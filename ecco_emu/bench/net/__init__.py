"""``ecco-emu bench net``: how true the link lab is, and its cost.

``traffic`` sends and receives. ``fidelity`` and ``cost`` measure; ``cost`` also builds the same topology with
Mininet, where that is installed. ``command`` does all of it in one report.
"""
