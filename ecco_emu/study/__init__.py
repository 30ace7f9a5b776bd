"""Tools that benches, sweeps and experiments share. Nothing in here knows a measurement's subject.

``grid`` says which combinations of values to measure, ``pool`` runs them in child processes, ``records``
keeps results in a file from which an interrupted study goes on, ``progress`` shows how far it is,
``statistics`` summarises repetitions, and ``tables`` renders them as text.
"""
