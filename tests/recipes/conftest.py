"""The recipe's scripts import each other by plain names, as they do when they are run."""

import sys
from pathlib import Path

# Last, so that a name of theirs hides no package's.
sys.path.append(str(Path(__file__).parents[2] / "recipes" / "mini"))
