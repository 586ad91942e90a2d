"""The tables, and how they are reached: models, sessions, and the migrations' state.

Knows rows, not what they mean; may use settings, storage and the recipe.
"""
