"""The node graph: its description, and what starts, supervises and ends its processes."""
