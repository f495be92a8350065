"""Model files: one bundle a part (safetensors with a JSON header), one folder a model."""
