"""Messages of the graph: conversions, sizes, weights, and their QoS profiles."""
