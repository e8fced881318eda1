"""What is kept on disk: locations, result stores and their manifests, fingerprints of inputs."""
