"""The graph, described once, and everything that starts, watches and reports a run."""
