"""What a run leaves on disk: files written atomically, metrics row by row, and a manifest per stage."""
