"""The report of a set of pictures: its values, its words, and how it is shown."""
