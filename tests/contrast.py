"""The contrast of texts on pages, for tests in a browser."""

import re

import numpy as np


def contrast(page, place: str) -> float:
    """Return the contrast of an element's text with its background (WCAG 2.2, 1.4.3)."""
    colors = page.eval_on_selector(
        place,
        """(element) => {
          let behind = element;
          while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") {
            behind = behind.parentElement;
          }
          return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
        }""",
    )
    low, high = sorted(luminance(color) for color in colors)
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    """Return the relative luminance of a colour of CSS (WCAG 2.2), 0 to 1."""
    channels = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))
