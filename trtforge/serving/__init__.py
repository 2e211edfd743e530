"""What it takes to run engines for others: each part is imported by its own name."""
