"""Computes the identity loss: how far the face that a prediction would show is from that of the photos."""
