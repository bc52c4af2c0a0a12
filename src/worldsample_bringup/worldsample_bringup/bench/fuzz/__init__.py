"""Mutated inputs for every decoder at a boundary of the system: ``worldsample bench fuzz``."""
