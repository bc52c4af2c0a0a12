"""The success classifier and the frames it is fitted to."""
