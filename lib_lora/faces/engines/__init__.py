"""The face engines that a user may choose, and their licences."""
