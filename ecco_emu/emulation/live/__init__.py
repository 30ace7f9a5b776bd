"""Runs that are live: how others find one, enter its nodes, and inject faults into it."""
