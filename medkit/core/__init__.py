"""What every room uses and nothing clinical: errors, files, values, YAML, registries."""
