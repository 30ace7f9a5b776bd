"""Ids, units, errors, frames, messages, the emulated clock and named random streams. Pure."""
