"""The scenario: its YAML schema, loading with line numbers, faults, expectations, shipped profiles."""
