import sys

import pytest

from clipsonic_cli.config import MelSpec
from clipsonic_cli.errors import ClipsonicError
from clipsonic_cli.models import optional
from clipsonic_cli.training.stages import STAGES


def test_a_torchvision_of_another_release_is_explained(monkeypatch):
    class Broken:
        def find_spec(self, name, *_):
            if name == "dalle2_pytorch":
                raise RuntimeError("operator torchvision::nms does not exist")

    for name in [*sys.modules]:
        if name.startswith("dalle2_pytorch") or name.endswith("models.prior"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    monkeypatch.setattr(optional, "_version_of", lambda _package: "0.1.0")
    with pytest.raises(
        ClipsonicError, match=r"^dalle2-pytorch .*nms.*torchvision 0\.1\.0"
    ) as caught:
        STAGES["prior"].objective(None, MelSpec())
    assert "\n" not in str(caught.value)
