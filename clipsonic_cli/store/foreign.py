"""Read other projects' checkpoints without running any code in them.

These are safetensors, and torch's own files under ``weights_only``, with NumPy arrays in them.
"""

import pickle
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct, scalar
from safetensors.torch import load_file

from clipsonic_cli.errors import BadBundle, MissingWeights
from clipsonic_cli.store.bundle import utf8_path

READING = threading.Lock()
NUMPY: tuple[Any, ...] = (
    *((call, f"numpy.core.multiarray.{call.__name__}") for call in (_reconstruct, scalar)),
    *((call, f"numpy._core.multiarray.{call.__name__}") for call in (_reconstruct, scalar)),
    np.ndarray,
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    np.dtypes.Int64DType,
)
"""Names that NumPy arrays and scalars are pickled by, before NumPy 2 and since: some publishers
store their training state with the weights. None of them does more than hold numbers."""


def read_foreign(path: Path) -> Any:
    """Read a published checkpoint: a ``.safetensors`` file, or one of ``torch.save``.

    It is a state dict, or dictionaries around one, on the CPU. Tensors of a torch file are mapped,
    not read, until they are used.

    Raises:
        MissingWeights: There is no such file.
        BadBundle: The file is damaged, or names code that is not allowed; none of it was run.
    """
    if not path.is_file():
        raise MissingWeights(f"There is no weights file {path}.")
    try:
        if path.suffix == ".safetensors":
            with utf8_path(path) as plain:
                return load_file(plain)
        # note: both contexts change global state.
        with (
            READING,
            torch.serialization.safe_globals(list(NUMPY)),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # of guesses about a damaged pickle
            return torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except pickle.UnpicklingError as error:
        # torch names what it did not allow several lines below the advice to trust the file.
        lines = [line for line in str(error).splitlines() if "GLOBAL" in line.upper()]
        reason = (lines or ["no pickle of tensors"])[0].strip()
        raise BadBundle(
            f"{path} is damaged, or would run code, which was not done ({reason}). "
            "Get it again from its publisher."
        ) from None
    except Exception as error:  # damaged bytes can fail anywhere inside the two readers
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise BadBundle(f"{path} is damaged ({reason}). Get it again.") from None


def _is_zip(path: Path) -> bool:
    """Return whether a file has torch's zip format (1.6 and later), which can be mapped."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"
