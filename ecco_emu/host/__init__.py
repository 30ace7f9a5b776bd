"""This host, as the emulation uses it: worker processes, priorities, clock, event loop, its lag."""
