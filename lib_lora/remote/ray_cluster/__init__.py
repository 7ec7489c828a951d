"""Connects to a Ray cluster through its Jobs API, storage that both sides share, and a program that runs on a node."""
