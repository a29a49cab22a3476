"""What a command shows and keeps: the screen with its bars, the run's log, and what other libraries print."""
