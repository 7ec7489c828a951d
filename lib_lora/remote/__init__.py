"""Works on another machine: how it is reached, what is sent to it and brought back, and what SameFace needs there."""
