"""Does what a person asks for, with the packages below."""
