"""Evaluates an exported bundle on labelled films, through the service's own decoder and predictor.

From the bottom up: measures (arrays -> numbers), judging (films -> probabilities), report (writes), parts (what an evaluation
consists of), evaluate. Knows neither checkpoints nor HTTP.
"""
