"""The face engines a user may name, those with licences of their own, and what was agreed to."""
