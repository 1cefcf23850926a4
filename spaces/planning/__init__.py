"""How plans are chosen: models of loss and latency, a knapsack over both, and proposals."""
