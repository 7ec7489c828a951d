"""Brings pictures from files, folders and zip files into a character's folder."""
