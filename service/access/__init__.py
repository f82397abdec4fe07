"""Access control: who may call, and how often. Knows no HTTP: paths, headers and addresses in, a caller or an error out."""
