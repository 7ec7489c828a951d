"""Shows the tab, and serves the HTTP routes from which it is drawn."""
