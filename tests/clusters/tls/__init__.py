"""Clusters over TLS, with certificates that the tests make."""
