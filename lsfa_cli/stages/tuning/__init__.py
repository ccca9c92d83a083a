"""What `tune` is made of: its cells, what is measured in them, the ranking and the report."""
