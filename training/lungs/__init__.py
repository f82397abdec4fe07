"""A small lung-field segmenter: its data, network, training and the graph that evaluation and serving run.

Knows nothing of findings: it says where the lungs are, not what is in them.
"""
