"""How good sounds are, in numbers.

Knows: features of sounds, and the distances between sets of them. Does not know: which sounds are
compared, and who made them.
"""
