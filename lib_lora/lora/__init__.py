"""The adapter: where it attaches, kohya's names, metadata, hashes, reading, writing and merging the file."""
