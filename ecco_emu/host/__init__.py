"""The host that a run uses: worker processes, priorities, its clock, the event loop and the loop's lag."""
