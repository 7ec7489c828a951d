"""Civitai's API: requests and answers, which are hostile, a cache of them, downloads, and consent."""
