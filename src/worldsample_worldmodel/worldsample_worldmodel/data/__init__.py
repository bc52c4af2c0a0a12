"""Real episodes as arrays, and how a run's transitions become them."""
