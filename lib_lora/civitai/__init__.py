"""Looks LoRAs and base models up on Civitai, says what their licences allow, and fetches them.

Loads no torch.
"""
