"""What `study` is made of: its cells, their figures, the choice among variants, and notes."""
