"""Metrics of sounds, and backbones that embed them.

A metric is one file and one line of METRICS, which names a ``metric.Metric``. A backbone is one
file and one line of BACKBONES, which names a class whose ``load(device)`` returns a
``types.Backbone`` with weights on this machine.
"""

from clipsonic_cli.registry import Registry

METRICS = Registry(
    "metric",
    {
        "fad": "clipsonic_cli.metrics.fad:METRIC",
        "kad": "clipsonic_cli.metrics.kad:METRIC",
        "clap": "clipsonic_cli.metrics.clap_score:METRIC",
        "clap-windows": "clipsonic_cli.metrics.clap_windows:METRIC",
        "similarity": "clipsonic_cli.metrics.similarity:METRIC",
        "nearest-frame": "clipsonic_cli.metrics.nearest_frame:METRIC",
        "label-rank": "clipsonic_cli.metrics.label_rank:METRIC",
        "kl": "clipsonic_cli.metrics.kl:METRIC",
        "accuracy": "clipsonic_cli.metrics.accuracy:METRIC",
        "cs": "clipsonic_cli.metrics.clip_score:METRIC",
        "is": "clipsonic_cli.metrics.inception:METRIC",
        "aes": "clipsonic_cli.metrics.aesthetics:METRIC",
    },
)

BACKBONES = Registry(
    "backbone",
    {
        "vggish": "clipsonic_cli.metrics.vggish:VGGishBackbone",
        "clap": "clipsonic_cli.metrics.clap:ClapBackbone",
        "panns": "clipsonic_cli.metrics.panns:PannsBackbone",
        "passt": "clipsonic_cli.metrics.passt:PasstBackbone",
        "wav2clip": "clipsonic_cli.metrics.wav2clip:Wav2ClipBackbone",
        "audiobox": "clipsonic_cli.metrics.audiobox:AudioboxBackbone",
        "mini": "clipsonic_cli.metrics.mini:MiniBackbone",
    },
)
