"""The data folder: where everything lies in it, and what is set for all of it."""
