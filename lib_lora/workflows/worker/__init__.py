"""Does in a worker process what each type of job asks for."""
