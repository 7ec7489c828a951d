"""Describes each model family by one object that holds all its differences, and says what a checkpoint file is."""
