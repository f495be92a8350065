"""Waveform to normalised log-mel and back, and sound files. Knows nothing of diffusion."""
