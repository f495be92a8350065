"""Models and weights on disk: one bundle per part (safetensors with a JSON header), downloads."""
