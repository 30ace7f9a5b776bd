"""``ecco-emu bench control``: how often the control loop decides rightly, with the real student on the town.

``splits`` asks how many steady members leave their group, and how many drifted ones (Algorithm 2, second
half). ``joins`` asks who shares a job when cameras drift at once (first half). ``scenes`` renders their
frames, and ``command`` puts the figures together.
"""
