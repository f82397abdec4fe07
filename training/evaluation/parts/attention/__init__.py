"""Whether Grad-CAM maps can be trusted: where they lie, and what they depend on."""
