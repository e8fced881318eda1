"""Simulated studies: crosses and traits whose loci and heritabilities are known."""

from bulklmm_dask.simulate.study import simulate_study as simulate_study
