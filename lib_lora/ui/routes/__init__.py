"""Answers the HTTP routes, with a module for each part of the page."""
