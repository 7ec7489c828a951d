"""Where faces are in a picture, and their five points."""
