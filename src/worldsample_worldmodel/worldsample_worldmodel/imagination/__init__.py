"""Counterfactual segments: where they start, which actions, which guards."""
