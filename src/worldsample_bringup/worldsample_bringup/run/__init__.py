"""A run before it starts and on disk: options, layers of settings, the run folder, its records."""
