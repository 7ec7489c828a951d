"""Says in a picture file where it comes from: IPTC's digital source type, as XMP."""
