"""Evaluates an exported bundle on labelled films, through the service's own decoder and predictor.

From the bottom up: measures (arrays -> numbers), judging (films -> probabilities), evidence (what a part may measure), report
(tables, plots, files), parts (one for each question), evaluate (runs the parts). Knows neither checkpoints nor HTTP.
"""
