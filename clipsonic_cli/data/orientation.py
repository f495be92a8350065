"""Show frames as players do: apply a video's display matrix, and make its pixels square."""

from typing import Any

import numpy as np
from PIL import Image

Transpose = Image.Transpose
TURNS = {
    # Signs of the display matrix: the (x, y) shown of a pixel step to the right, then of one down.
    (1, 0, 0, 1): None,
    (-1, 0, 0, 1): Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Transpose.FLIP_TOP_BOTTOM,
    (-1, 0, 0, -1): Transpose.ROTATE_180,
    (0, 1, 1, 0): Transpose.TRANSPOSE,
    (0, 1, -1, 0): Transpose.ROTATE_270,
    (0, -1, 1, 0): Transpose.ROTATE_90,
    (0, -1, -1, 0): Transpose.TRANSVERSE,
}
"""The eight orientations, as with EXIF."""


def display_matrix(frame: Any) -> tuple[int, int, int, int] | None:
    """Return the linear part (a, b, c, d) of a frame's display matrix; None where it has none.

    A pixel at (p, q) is shown at (a p + c q, b p + d q), up to a shift.

    Source: FFmpeg, libavutil/display.h: 9 numbers of 32 bits, row by row (a b u, c d v, x y w).
    """
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            values = np.frombuffer(bytes(data), np.int32)
            if len(values) == 9:
                a, b, _, c, d, *_ = values.tolist()
                return a, b, c, d
    return None


def upright(image: Image.Image, matrix: tuple[int, int, int, int] | None) -> Image.Image:
    """Return an image with square pixels turned and mirrored by its display matrix.

    Its scale is ignored, as players do; an angle between two of the eight orientations is rounded
    to the nearer one.
    """
    if matrix is None:
        return image
    a, b, c, d = matrix
    straight = abs(a) + abs(d) >= abs(b) + abs(c)
    kept = (a, 0, 0, d) if straight else (0, b, c, 0)
    turn = TURNS.get(tuple(int(np.sign(value)) for value in kept))  # type: ignore[arg-type]
    return image if turn is None else image.transpose(turn)


def square_pixels(image: Image.Image, aspect: Any) -> Image.Image:
    """Return an image with square pixels; ``aspect`` is the width over height of its own.

    Values outside 0.1 to 10 are ignored.
    """
    if not aspect or aspect == 1 or not 0.1 < aspect < 10:
        return image
    return image.resize((max(1, round(image.width * aspect)), image.height))
