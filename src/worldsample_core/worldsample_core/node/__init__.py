"""What every node of the graph shares: its settings, its loop, its precedence, its end."""
