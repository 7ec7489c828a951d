"""The adapter: where it attaches, kohya's names, metadata, hashes, reading, writing and merging the file."""

import logging

# peft imports bitsandbytes where it is installed, which then speaks of kernels that nothing here uses.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
