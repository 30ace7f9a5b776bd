"""What ``ecco-emu bench`` measures on this host. Measurements are no tests: they are repeated and reported
with their spread, beside their targets, and what cannot be measured here says so."""
