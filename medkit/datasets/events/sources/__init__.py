"""Where events come from: files, shards, folders, MEDS and databases."""
