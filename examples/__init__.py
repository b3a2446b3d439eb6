"""Examples: each has a README of numbered steps and a test that runs it."""
