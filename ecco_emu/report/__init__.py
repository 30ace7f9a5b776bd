"""What a run did: its event log and directory, metrics, summary, HTML report and live view."""
