"""Networks: tensors in and out. Beside each model stands the one adapter for foreign weights."""
