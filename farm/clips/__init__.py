"""Films as files: clips looked at and decoded in processes of their own, frames joined into a film.

May use the storage and the recipe, and `farm.pictures` for single frames; imports no torch.
"""
