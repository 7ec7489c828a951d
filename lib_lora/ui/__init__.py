"""The tab, and the HTTP routes that it is drawn from."""
