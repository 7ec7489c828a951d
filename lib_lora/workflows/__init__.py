"""What a person asks for, done with the rooms below."""
