"""What runs inside the jail: standard library only, no imports from the rest of the project."""
