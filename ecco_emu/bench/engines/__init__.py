"""Real links against simulated ones: the same scenarios on both, and how far their figures are apart.

``figures`` reads what is compared off a run, ``comparison`` holds real runs against the simulated one (both
pure), ``running`` carries runs out and keeps them in a file, ``command`` puts it together.
"""
