"""The films of a site: where they lie, what is known of them, and what the model says of them."""
