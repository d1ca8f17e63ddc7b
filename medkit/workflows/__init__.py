"""What the commands do, from a config or a run to files."""
