"""One file for each kind of outcome: what evaluation makes of it."""
