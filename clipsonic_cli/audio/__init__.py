"""Audio: waveform to normalised log-mel and back, levels and sound files."""
