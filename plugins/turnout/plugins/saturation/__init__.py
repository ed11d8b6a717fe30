"""How full the pool is, by what engines report or by what was dispatched to them."""
