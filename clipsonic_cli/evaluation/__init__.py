"""The paper's evaluation: systems and metrics to scores."""
