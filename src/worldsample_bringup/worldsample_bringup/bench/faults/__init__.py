"""Faults that are put into a running graph, and what follows from them: ``worldsample bench faults``."""
