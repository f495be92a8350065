"""How a foreign state dict differs from the one a network wants. Knows names and shapes only."""

from collections.abc import Mapping

from torch import Size, Tensor

NAMED = 8
"""Most faults a message names; a file of another kind altogether has hundreds."""


def misfits(state_dict: Mapping[str, object], wanted: Mapping[str, Tensor]) -> list[str]:
    """Gives all that keeps a state dict from being loaded, in words; nothing where it fits.

    Args:
        state_dict: Names to tensors, as they were read: anything may be among them.
        wanted: The network's own; of its tensors only the shapes are read.
    """
    faults = [f"missing {name}" for name in wanted if name not in state_dict]
    faults += [f"unexpected {name}" for name in state_dict if name not in wanted]
    for name in [name for name in wanted if name in state_dict]:
        seen, needed = state_dict[name], tuple(wanted[name].shape)
        if not isinstance(seen, Tensor):
            faults.append(f"{name} is no tensor")
        elif seen.shape != Size(needed):
            faults.append(f"{name} is {tuple(seen.shape)} where {needed} is needed")
    return faults


def listed(faults: list[str]) -> str:
    """Gives faults in one line, with their number: "2 faults: missing a; unexpected b"."""
    more = [f"and {len(faults) - NAMED} more"] if len(faults) > NAMED else []
    named = "; ".join(faults[:NAMED] + more)
    return f"{len(faults)} fault{'s' if len(faults) > 1 else ''}: {named}"
