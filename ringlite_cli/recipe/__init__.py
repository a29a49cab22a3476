"""Recipes: their schema, how they are read, and how their TRL fields are checked. Nothing here imports torch."""
