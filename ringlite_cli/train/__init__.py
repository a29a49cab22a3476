"""Training stages on TRL: the model to start from, supervised fine-tuning, C3PO."""
