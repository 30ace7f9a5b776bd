"""What a run leaves behind: event log, run directory, metrics, summary, traces of connections."""
