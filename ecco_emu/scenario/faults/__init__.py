"""Faults of a scenario: ``timeline`` says what happens when, ``line`` reads one from a line of text."""
