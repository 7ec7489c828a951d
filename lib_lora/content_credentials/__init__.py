"""Signs pictures with Content Credentials (C2PA) that say that they are generated.

Needs the package `c2pa-python`.
"""
