"""Data sets: lists of clips, their audio and frames, and a report on both.

Knows: the formats of data sets and of media, and what makes a clip unfit. Does not know: networks,
mels, what the clips are for. Readers only list clips; ``data/media.py`` decodes for all of them.
"""

from clipsonic_cli.registry import Registry

# In the order in which they are tried: formats that any folder could have come last.
READERS = Registry(
    "data format",
    {
        "vggsound": "clipsonic_cli.data.vggsound:READER",
        "music": "clipsonic_cli.data.music:READER",
        "manifest": "clipsonic_cli.data.clip_list:READER",
        "shards": "clipsonic_cli.data.webdataset:READER",
        "pairs": "clipsonic_cli.data.pairs:READER",
        "folder": "clipsonic_cli.data.folder:READER",
    },
)
