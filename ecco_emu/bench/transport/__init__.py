"""``ecco-emu bench transport``: does bandwidth follow the weights, how soon, and at what cost.

An ``Experiment`` (``experiment``) is run over a simulated link (``simulated``) or real kernel queues
(``real``); both return a ``Trace``, from which ``measures`` works out the figures. ``matrix`` and
``situations`` say which experiments there are, ``pool`` runs them side by side, ``records`` keeps what came
out, ``tables`` and ``plots`` show it. ``cost`` measures CPU beside aioquic and the kernel's TCP.
"""
