"""Names everything in a data folder, and reads what is set for all of it."""
