"""Commands of training, evaluation and exploration, as `cxr` shows them."""
