"""Who may call, and how often. Free of HTTP: paths, headers and addresses in, a caller or an error out."""
