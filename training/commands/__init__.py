"""Commands of `cxr` that train and judge models: options in, one call, what is printed."""
