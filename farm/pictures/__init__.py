"""Pictures as files: uploads decoded in processes of their own, results encoded and converted.

May use the database, the storage and the recipe; imports no torch.
"""
