"""Arrays of stores and their files: metadata, chunks, shards and checksums."""
