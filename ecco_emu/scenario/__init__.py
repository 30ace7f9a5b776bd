"""Scenarios: the YAML schema, loading with line numbers, faults, expectations, shipped profiles."""
