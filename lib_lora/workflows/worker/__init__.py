"""What a worker process does for each type of job."""
