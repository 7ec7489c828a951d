"""Reports what a set of pictures shows: the values, their words, and how they are shown."""
