"""C3PO (Ring-lite §3.2): a constant token budget per optimizer step, packed rows, one division. Torch only, no TRL."""
