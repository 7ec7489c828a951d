"""Which photos, and what is said of them: captions, trigger words."""
