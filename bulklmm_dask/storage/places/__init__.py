"""Where files and stores are, and how they are opened, written, replaced and locked."""
