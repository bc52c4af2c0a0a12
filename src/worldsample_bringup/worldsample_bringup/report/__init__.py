"""Pictures and figures of a finished run: the report, the summary and their curves."""
