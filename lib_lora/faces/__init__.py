"""Faces in pictures: what a face is, the engines that find and describe it, and their licences."""
