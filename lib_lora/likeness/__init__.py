"""Measures how much of a face is kept: faces in pictures, a character's template, scores against it.

Needs numpy, Pillow and OpenCV; knows nothing about LoRAs, training or how the pictures were painted.
"""
