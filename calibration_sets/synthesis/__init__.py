"""Seeded recipes that speak, distort and store the synthetic speech sets of this folder."""
