"""Hundreds of pictures of one character: painted, judged one by one, and painted again where the face is lost."""
