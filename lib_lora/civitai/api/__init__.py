"""Asks Civitai's API once the user has agreed, caches its answers, which are not trusted, and downloads files."""
