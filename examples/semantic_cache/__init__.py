"""A cache in front of a slow model, asked by meaning. README.md has the steps."""
