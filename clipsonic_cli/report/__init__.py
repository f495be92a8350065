"""Results as tables, figures and a page, next to the paper's numbers."""
