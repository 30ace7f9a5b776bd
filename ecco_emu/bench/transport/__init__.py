"""``ecco-emu bench transport``: whether bandwidth follows the weights, how soon, and at which cost.

``matrix`` and ``situations`` list the experiments (``experiment``). Each runs over a simulated link
(``simulated``) or over real kernel queues (``real``), and ``steering`` configures its flows. Both return a
``CellTrace``, from which ``measures`` computes the figures. ``cost`` measures CPU time beside aioquic and the
kernel's TCP; each end of such a transfer is an ``endpoints`` process. ``run`` plans and runs all of it and
yields a ``Record`` (``records``) for each run. ``targets`` judges the records, and ``tables`` and ``plots``
show them.
"""
