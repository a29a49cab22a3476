"""The commands beside `run`: check, plan, status, doctor, verify, experiment."""
