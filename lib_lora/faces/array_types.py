"""Names the types of the arrays by which faces and pictures are described."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]  # rows x columns x 3 RGB, or rows x columns grey
Box = tuple[float, float, float, float]  # left, top, width, height
