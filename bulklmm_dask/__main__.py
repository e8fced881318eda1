"""``python -m bulklmm_dask``: the command line."""

from bulklmm_dask.cli import main

if __name__ == "__main__":
    main(prog_name="bulklmm")
