"""What each part of a scenario may say: one file a section of the YAML, with units, limits and meaning."""
