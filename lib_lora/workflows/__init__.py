"""Does what a person asks for, as plain functions on the packages below."""
