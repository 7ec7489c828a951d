"""A Ray cluster: its Jobs API, storage that both sides share, what runs on a node, and a connection made of these."""
