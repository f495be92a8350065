"""Other people's checkpoints, read without running anything that is in them.

Knows: safetensors, and torch's own files under ``weights_only``, with NumPy's numbers in them. Does
not know: which tensors a network wants (the adapters beside each model), or where files come from
(``store/fetch.py``).
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
    *((make, f"numpy.core.multiarray.{make.__name__}") for make in (_reconstruct, scalar)),
    *((make, f"numpy._core.multiarray.{make.__name__}") for make in (_reconstruct, scalar)),
    np.ndarray,
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    np.dtypes.Int64DType,
)
"""What arrays and single numbers are pickled as, before NumPy 2 and since: some publishers keep
where their training was beside the weights. None of it does more than hold numbers."""


def read_foreign(path: Path) -> Any:
    """Read a published checkpoint.

    Args:
        path: A ``.safetensors`` file, or a file of ``torch.save``.

    Returns:
        What was saved, on the CPU: a state dict, or dictionaries around one. Tensors of a torch
        file are mapped, not read, until they are used.

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
        # Both contexts change what holds for the whole process.
        with (
            READING,
            torch.serialization.safe_globals(list(NUMPY)),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # about what a damaged pickle seems to be
            return torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except pickle.UnpicklingError as error:
        # torch says which name it refused several lines below the advice to trust the file.
        lines = [line for line in str(error).splitlines() if "GLOBAL" in line.upper()]
        reason = (lines or ["no pickle of tensors"])[0].strip()
        raise BadBundle(
            f"{path} is damaged, or asks to run code, which was not done ({reason}). "
            "Get it again from its publisher."
        ) from None
    except Exception as error:  # damaged bytes can fail anywhere inside the two readers
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise BadBundle(f"{path} is damaged ({reason}). Get it again.") from None


def _is_zip(path: Path) -> bool:
    """Report torch's present format, which can be mapped, from the one before 1.6."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"
