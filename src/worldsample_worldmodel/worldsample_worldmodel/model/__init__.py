"""The video model: encoders, dynamics, decoders, and the frames they copy from."""
