"""Walking a recipe: what is fresh, what runs again, on which ranks, and how a failure is reported."""
