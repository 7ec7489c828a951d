"""Defines what is learned: noise, prediction target and loss, learning rate, optimizers.

Reads no file.
"""
