"""A folder of films -> batches of model inputs."""
