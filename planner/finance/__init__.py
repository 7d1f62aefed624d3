"""Money: cash rows, their present value, residual values. Numbers only."""
