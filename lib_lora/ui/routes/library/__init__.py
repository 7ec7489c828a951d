"""Answers the routes of the panel Library: what models are on Civitai, and fetching them."""
