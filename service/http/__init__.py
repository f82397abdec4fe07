"""HTTP: middleware, endpoints, request bodies, answers and problems. Decodes no film, and runs no model itself."""
