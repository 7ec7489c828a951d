"""Content Credentials (C2PA): pictures that say, signed, that they are generated. Needs the package `c2pa-python`."""
