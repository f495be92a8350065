"""The loop that trains, and the objectives of denoisers and vocoder."""
