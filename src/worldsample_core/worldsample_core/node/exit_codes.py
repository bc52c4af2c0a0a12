"""Exit codes of the nodes' processes, as both launchers understand them."""

DONE = 0
"""Also when stopped by Ctrl-C, after a clean close."""
FAILED = 1
BAD_CONFIGURATION = 2
"""The configuration, the run folder or the machine cannot be used: starting the node again would not help."""
