"""What is kept on disk: places, result stores, fingerprints."""
