"""Holds the commands about a character, its photos and its words."""
