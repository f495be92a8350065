"""How a state dict fits a network. Knows names and shapes only."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Size, Tensor, nn

from clipsonic_cli.errors import BadBundle

Network = TypeVar("Network", bound=nn.Module)

NAMED = 8
"""Most faults a message names; a file of another kind altogether has hundreds."""


def fitted(
    make: Callable[[], Network], weights: Mapping[str, Tensor], *, whose: str, device: torch.device
) -> Network:
    """Gives a network that is not to be trained, with weights that were read and none drawn.

    Args:
        make: Its class, or what else makes one.
        weights: What was read, which may be anything.
        whose: They should be, for the message.
        device: Where the network is to run.

    Raises:
        BadBundle: A tensor is missing, unexpected or of another shape; the message names it.
    """
    with torch.device("meta"):
        network = make()
    if faults := misfits(weights, network.state_dict()):
        raise BadBundle(f"These are not {whose}'s weights ({listed(faults)}).")
    network = network.to_empty(device=device).eval().requires_grad_(requires_grad=False)
    network.load_state_dict(weights)
    return network


def unusable(state_dict: object) -> list[str]:
    """Gives why something that was read is no state dict of dense tensors, in words.

    Args:
        state_dict: What a file of ``torch.save`` held: it may be anything.
    """
    if not isinstance(state_dict, Mapping):
        return [f"it is a {type(state_dict).__name__}, no state dict"]
    return [f"{name} is no dense tensor" for name, t in state_dict.items() if not _dense(name, t)]


def _dense(name: object, value: object) -> bool:
    """Whether an entry of a state dict has a name and numbers of its own."""
    return (
        isinstance(name, str)
        and isinstance(value, Tensor)
        and value.layout is torch.strided
        and not (value.is_quantized or value.is_meta)
    )


def misfits(state_dict: object, wanted: Mapping[str, Tensor]) -> list[str]:
    """Gives all that keeps a state dict from being loaded, in words; nothing where it fits.

    Args:
        state_dict: What was read, which should be names to tensors.
        wanted: The network's own; of its tensors only shapes and kinds of numbers are read.
    """
    if not isinstance(state_dict, Mapping):
        return unusable(state_dict)
    faults = [f"missing {name}" for name in wanted if name not in state_dict]
    faults += [f"unexpected {name}" for name in state_dict if name not in wanted]
    for name in [name for name in wanted if name in state_dict]:
        seen, needed = state_dict[name], tuple(wanted[name].shape)
        if not isinstance(seen, Tensor):
            faults.append(f"{name} is no tensor")
        elif not _dense(name, seen):
            faults.append(f"{name} is no dense tensor")
        elif seen.is_floating_point() != wanted[name].is_floating_point() or seen.is_complex():
            faults.append(f"{name} is of {seen.dtype} where {wanted[name].dtype} is needed")
        elif seen.shape != Size(needed):
            faults.append(f"{name} is {tuple(seen.shape)} where {needed} is needed")
    return faults


def listed(faults: list[str]) -> str:
    """Gives faults in one line, with their number: "2 faults: missing a; unexpected b"."""
    more = [f"and {len(faults) - NAMED} more"] if len(faults) > NAMED else []
    named = "; ".join(faults[:NAMED] + more)
    return f"{len(faults)} fault{'s' if len(faults) > 1 else ''}: {named}"
