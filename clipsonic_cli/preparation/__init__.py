"""Prepare clips for training: mels, and CLIP or CLAP embeddings of frames and labels, in shards.

Knows: which encoder gets what of a clip, shards, and how training draws from them. Does not know:
the formats of data sets and media (``data/``), nor what is trained (``training/``).
"""
