"""What training and an engine take of a GPU's memory, by formulas from a model's config. No torch."""
