"""The Dask operator on a double of Kubernetes, whose pods are processes of this machine."""
