"""The files and figures of a run: event log, run directory, metrics, summary, traces of connections."""
