"""Files on disk: locations, result stores and their manifests, fingerprints of inputs."""
