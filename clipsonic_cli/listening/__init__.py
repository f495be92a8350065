"""The listening test: a web page for raters, and mean opinion scores of what they send back."""
