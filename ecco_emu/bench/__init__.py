"""Measurements of this program on this host: the verbs of ``ecco-emu bench``, a package for each.

Measurements are no tests. They are repeated, reported with their spread beside their targets, and a
measurement that this host cannot make is reported as such.
"""
