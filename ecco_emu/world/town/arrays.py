"""The town's array types."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
"""Of values computed per pixel."""
F64 = npt.NDArray[np.float64]
"""Of places, headings and distances in town."""
