"""Stores in object stores: real S3-compatible servers behind a proxy that counts and disturbs."""
