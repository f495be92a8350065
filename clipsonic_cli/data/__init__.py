"""Training material: lists of clips, their sound and frames, and a report on both.

Knows: the formats of data sets and of media, and what makes a clip unfit. Does not know: networks,
mels, what the clips are for. A reader only lists; ``data/media.py`` decodes for all of them.
"""

from clipsonic_cli.registry import Registry

# In the order in which they are tried: what any folder could be comes last.
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
