"""HTTP: middleware, endpoints, request bodies, answers and problems. Films and models are other rooms' business."""
