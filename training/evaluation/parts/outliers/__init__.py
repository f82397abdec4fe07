"""Whether the service notices pictures that are no chest films, and damaged films."""
