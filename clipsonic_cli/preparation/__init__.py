"""Prepare clips for training: mels, and CLIP or CLAP embeddings of frames and labels, in shards."""
