"""Makes a character from a description: candidates for a face, and further pictures of the one that was picked."""
