"""Many pictures of one character: productions and their pictures."""
