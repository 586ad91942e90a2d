"""The workers that are alive, and what a picture would need on them: memory and time.

May use the database and the recipe's arithmetic; asks no worker anything.
"""
