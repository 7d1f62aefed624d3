"""Scenario + catalogs -> every way to serve each class, with its reason if it cannot: the seam.

Pydantic ends here, numpy begins: `enumerate` lists configurations, `shapes` converts catalog rows
to arrays in base units (the one conversion), `evaluate` asks the performance model, `prune` drops
what is dominated, `offers` prices machines and APIs, `assemble` builds the Problem.
"""
