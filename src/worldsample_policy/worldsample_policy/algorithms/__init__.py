"""Methods of learning: one file for each, and the base class that they share."""
