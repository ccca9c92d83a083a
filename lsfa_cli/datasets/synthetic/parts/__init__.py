"""The parts: one file a kind, and what they share."""
