"""Supervised fine-tuning on worked traces."""
