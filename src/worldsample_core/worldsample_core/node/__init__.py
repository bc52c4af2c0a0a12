"""The common part of all nodes of the graph: settings, loop, precedence and end."""
