"""Reports against each other: two sets of pictures, or the checkpoints and weights of a run."""
