"""Names of files by which a worker on another machine gives its results."""

MEASURED = "done/measured.json"  # what a training was measured to take there
