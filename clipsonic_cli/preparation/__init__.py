"""Clips made ready to be trained on: mels, CLIP vectors of frames, and those of labels, in shards.

Knows: which encoders see what of a clip, shards, and how training draws from them. Does not know:
the formats of data sets and media (``data/``), nor what is trained (``training/``).
"""
