"""What a store consists of, whether it is whole, and how it is put right."""
