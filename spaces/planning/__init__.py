"""How plans are chosen: models of loss and latency, a knapsack, and proposals from the front."""
