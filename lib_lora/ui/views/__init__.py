"""What the page shows, read from disk."""
