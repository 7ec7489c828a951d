"""The training set: buckets, batches, latents, text encodings and captions."""
