"""What a worker runs instead of ``decode``; imports no torch, as that takes seconds."""

import os
import signal

from clipsonic_cli.preparation.decode import decode


def crash(clip, **settings):
    """Decodes a clip, but ends the process at the one called "1"."""
    if clip.id == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(clip, **settings)
