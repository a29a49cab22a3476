"""The stages of a recipe: their kinds, the walk through them, and the commands that look at them."""
