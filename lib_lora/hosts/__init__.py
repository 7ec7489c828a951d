"""The webuis this program may live in; the only room that knows their modules."""
