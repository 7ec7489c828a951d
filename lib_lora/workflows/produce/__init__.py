"""Produces hundreds of pictures of one character: judges each, and paints again where the face is lost."""
