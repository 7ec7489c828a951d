"""The guard in txt2img and img2img: judges the user's own pictures as they are painted."""
