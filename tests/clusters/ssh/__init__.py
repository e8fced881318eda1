"""Clusters over SSH, against a daemon on the loopback."""
