"""Makes the training set of photos and captions: buckets, batches, latents and text encodings."""
