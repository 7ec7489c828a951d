"""Handles requests and responses: who may ask, what may be sent, and how answers and errors are returned."""
