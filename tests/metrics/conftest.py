"""What tests of backbones share: weights where downloads are stored."""

import json

import pytest

from clipsonic_cli.store import assets, bundle
from clipsonic_cli.store.manifest import find


@pytest.fixture
def put(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPSONIC_HOME", str(tmp_path))

    def put(name, weights):
        folder = assets.folder(find(name))
        folder.mkdir(parents=True)
        path = folder / f"{name}.safetensors"
        header = bundle.Header(kind=name, config={})
        bundle.write(path, bundle.Bundle(header=header, weights=weights))
        receipt = {"kept": {path.name: assets.describe(path)}}
        (folder / assets.RECEIPT).write_text(json.dumps(receipt))

    return put
