"""Whether Grad-CAM maps can be trusted: where their weight lies, and what they depend on."""
