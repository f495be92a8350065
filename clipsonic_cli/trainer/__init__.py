"""The training loop, for any objective: steps, validation, checkpoints and logs."""
