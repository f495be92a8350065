"""Data sets: clips, their audio and frames, and a report on them; and sets of image queries."""

from clipsonic_cli.registry import Registry

# In the order in which they are tried: formats that any folder could have come last.
READERS = Registry(
    "data format",
    {
        "vggsound": "clipsonic_cli.data.vggsound:READER",
        "music": "clipsonic_cli.data.music:READER",
        "manifest": "clipsonic_cli.data.clip_list:READER",
        "shards": "clipsonic_cli.data.webdataset:READER",
        "pairs": "clipsonic_cli.data.folder:PAIRS",
        "folder": "clipsonic_cli.data.folder:FOLDER",
    },
)

QUERY_SETS = Registry("query set", {"imagehear": "clipsonic_cli.data.imagehear:QUERIES"})
"""Named sets of images: each is one file and one row."""
