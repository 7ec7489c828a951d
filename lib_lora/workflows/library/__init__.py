"""Says of LoRAs and base models what they are on Civitai, and what their pages and licences permit."""
