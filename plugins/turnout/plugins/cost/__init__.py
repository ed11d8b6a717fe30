"""What requests cost: prices, the cheapest endpoint that keeps its promise, budgets, and the steps of a decision."""
