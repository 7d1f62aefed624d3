"""The mixed-integer program: the only place with Pyomo and HiGHS."""
