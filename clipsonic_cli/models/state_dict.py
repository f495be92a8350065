"""Weights into networks: whether a state dict fits, and how one that does is loaded."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Size, Tensor, nn
from torch.overrides import TorchFunctionMode

from clipsonic_cli.errors import BadBundle
from clipsonic_cli.text import counted

Network = TypeVar("Network", bound=nn.Module)

DRAWS = (
    *(nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_, nn.init.trunc_normal_),
    *(Tensor.normal_, Tensor.uniform_),
)
"""What :class:`Undrawn` leaves out."""
NAMED = 8
"""Most faults a message names; a file of another kind altogether has hundreds."""


def build(
    make: Callable[[], Network],
    weights: object,
    name: str,
    *,
    device: torch.device | str = "cpu",
    advice: str = "",
) -> Network:
    """Build a network with weights that were read, in float32, for use and not for training.

    It takes memory only once the weights are known to fit, whatever sizes a damaged file states.

    Args:
        make: Its class, or what else makes one.
        weights: What was read, which may be anything.
        name: Name of the network, for messages.
        device: Where it is to run.
        advice: Ends a message, as in :func:`check_fit`.

    Raises:
        BadBundle: There is no such network, or the weights are not all of its own and no others.
    """
    network = outline(make, name)
    load(network, weights, name, advice=advice, assign=True)
    if any(buffer.is_meta for buffer in network.buffers()):  # those that no file holds
        network = make()
        load(network, weights, name)
    return network.to(device, torch.float32).eval().requires_grad_(requires_grad=False)


def outline(make: Callable[[], Network], name: str) -> Network:
    """Build a network without memory for its weights; a BadBundle if it cannot be built."""
    try:
        with torch.device("meta"), Undrawn():
            return make()
    except (ValueError, LookupError, ArithmeticError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise BadBundle(f"'{name}' describes a network that cannot be built: {reason}.") from None


class Undrawn(TorchFunctionMode):
    """Leaves new weights as they are, where drawing them would be of no use.

    PyTorch draws normal numbers without memory by its compiler, whose import takes seconds.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in DRAWS:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def load(
    network: nn.Module, weights: object, name: str, *, advice: str = "", assign: bool = False
) -> None:
    """Load weights into a network, all of them and no others; it changes only if all fit.

    Args:
        network: Keeps its own precision, unless ``assign``.
        weights: What was read, which may be anything.
        name: Name of the network, for messages.
        advice: Ends a message, as in :func:`check_fit`.
        assign: Whether the network takes these tensors instead of copying their numbers.

    Raises:
        BadBundle: The weights do not fit, as in :func:`check_fit`.
    """
    refusal = f"The weights of '{name}' do not fit its network"
    fitting = check_fit(weights, network.state_dict(), refusal, advice)
    network.load_state_dict(fitting, assign=assign)


def check_fit(
    weights: object, wanted: Mapping[str, Tensor], refusal: str, advice: str = ""
) -> dict[str, Tensor]:
    """Check that a state dict has the names, shapes and kinds of numbers of another.

    Args:
        weights: What was read, which may be anything.
        wanted: A network's own; of its tensors only shapes and kinds of numbers are read.
        refusal: How the message begins, such as "These are not CNN14's weights".
        advice: How it ends: a sentence on what to do.

    Returns:
        The weights.

    Raises:
        BadBundle: A tensor is missing, unexpected or of another shape; the message names it.
    """
    if faults := misfits(weights, wanted):
        raise BadBundle(f"{refusal} ({listed(faults)}).{advice and f' {advice}'}")
    assert isinstance(weights, Mapping)  # else it is a fault
    return dict(weights)


def unusable(state_dict: object) -> list[str]:
    """Return why something that was read is no state dict of dense tensors, in words."""
    if not isinstance(state_dict, Mapping):
        return [f"it is a {type(state_dict).__name__}, no state dict"]
    return [f"{name} is no dense tensor" for name, t in state_dict.items() if not _dense(name, t)]


def _dense(name: object, value: object) -> bool:
    """Return whether an entry of a state dict has a name and numbers of its own."""
    return (
        isinstance(name, str)
        and isinstance(value, Tensor)
        and value.layout is torch.strided
        and not (value.is_quantized or value.is_meta)
    )


def misfits(state_dict: object, wanted: Mapping[str, Tensor]) -> list[str]:
    """Return all that keeps a state dict from being loaded, in words; nothing where it fits."""
    if not isinstance(state_dict, Mapping):
        return unusable(state_dict)
    faults = [f"missing {name}" for name in wanted if name not in state_dict]
    faults += [f"unexpected {name}" for name in state_dict if name not in wanted]
    for name in [name for name in wanted if name in state_dict]:
        seen, needed = state_dict[name], tuple(wanted[name].shape)
        if not _dense(name, seen):
            faults.append(f"{name} is no dense tensor")
        elif seen.is_floating_point() != wanted[name].is_floating_point() or seen.is_complex():
            faults.append(f"{name} is of {seen.dtype} where {wanted[name].dtype} is needed")
        elif seen.shape != Size(needed):
            faults.append(f"{name} is {tuple(seen.shape)} where {needed} is needed")
    return faults


def listed(faults: list[str]) -> str:
    """Format faults in one line, with their number: "2 faults: missing a; unexpected b"."""
    more = [f"and {len(faults) - NAMED} more"] if len(faults) > NAMED else []
    named = "; ".join(faults[:NAMED] + more)
    return f"{counted(len(faults), 'fault')}: {named}"
