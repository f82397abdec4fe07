"""What a data set is like before anything is trained on it (REPORT sections 2 and 3), per class and source."""
