"""The sections of a scenario's YAML, one file each: keys with their units, limits, defaults and meanings."""
