"""Offers the face engines that a user may choose, with their licences."""
