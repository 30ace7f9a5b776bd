"""What ECCO decides, as pure logic: who trains, who trains together, who may send how much.

One file per decision: ``windows`` (when), ``objective`` and ``allocator`` (who gets the GPUs, paper
section 3.1), ``sampling``, ``shares`` and ``transmission`` (what a camera sends, section 3.2), ``grouping``
(who shares a job, section 3.3) and ``drift`` (when a camera asks for retraining). Time is an argument
everywhere; nothing here does I/O. Reasons for what the paper leaves open: docs/reference/algorithms.md.
"""
