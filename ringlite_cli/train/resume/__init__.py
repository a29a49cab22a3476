"""What makes a stopped run go on: checkpoints, the state in them, and the polite stop."""
