"""The webui runs this at every start: puts what SameFace's worker lacks into a folder of its own, and changes no
package of the webui. Written so that an older Python reads it far enough to say its sentence.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - before the version is known

from lib_lora.__main__ import unsupported

reason = unsupported(sys.version_info[:2], sys.executable)
if reason:
    print("SameFace: " + reason)
else:
    from lib_lora.setup.packages import main

    main()
