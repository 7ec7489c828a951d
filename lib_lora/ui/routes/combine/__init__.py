"""Routes for other LoRAs beside the character's."""
