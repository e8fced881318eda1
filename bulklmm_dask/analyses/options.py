"""Every option of scan and permute, declared once.

A row says its argument, which is also its attribute in a result, its default, its choices and its
option on the command line. The commands and the page's "repeat this" are made from the rows; a test
compares the signatures of the functions with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from bulklmm_dask.lmm.statistics import STATISTICS
from bulklmm_dask.typing import By

Method = Literal["null-exact", "null-grid", "alt-exact", "alt-grid"]
PermuteMethod = Literal["per-trait", "shared"]
Precision = Literal["double", "single"]
KinshipMethod = Literal["bulklmm", "rqtl2", "centered", "standardized"]
GenotypeVariable = Literal["call_dosage", "call_genotype_probability"]

METHODS: tuple[Method, ...] = get_args(Method)
PERMUTE_METHODS: tuple[PermuteMethod, ...] = get_args(PermuteMethod)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes
    ----------
    name : str
        Argument of the function, and attribute of its result.
    flag : str
        Option of the command.
    help : str
        For the command's help.
    default : object
        Of the argument.
    on_command_line : str or None
        Default of the command's option, where it is written in another way.
    kind : type
        Of the command's option: bool for a switch, str also where the command parses the text.
    choices : tuple of str
        All values, where they are few.
    metavar : str or None
        What stands for the value in the command's help.
    least : int or None
        The smallest number.
    """

    name: str
    flag: str
    help: str
    default: Any = None
    on_command_line: str | None = None
    kind: type = str
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    least: int | None = None


REML = Option(
    "reml", "--reml", "Restricted maximum likelihood instead of ML.", default=False, kind=bool
)
KINSHIP = Option(
    "kinship",
    "--kinship",
    "A variable of the study; a method (bulklmm, rqtl2, centered, standardized) to compute it now; "
    "a CSV table; or none for ordinary regression.",
    default="kinship",
    metavar="NAME|none|FILE",
)
LOCO = Option(
    "loco",
    "--loco",
    "Leave one chromosome out: needs 'bulklmm kinship --loco'.",
    default=False,
    kind=bool,
)
COVARIATES = Option(
    "covariates",
    "--covariates",
    "Additive covariates, by name with commas between; an intercept is always in.",
    default=True,
    on_command_line="all",
    metavar="all|none|NAMES",
)
INTERACTION = Option(
    "interaction",
    "--interaction",
    "Covariates whose product with the genotype is tested along with it.",
    metavar="NAMES",
)
WEIGHTS = Option(
    "weights",
    "--weights",
    "Residual weights (the root of the number of replicates): a sample variable or covariate of "
    "the study, or a CSV table of samples and numbers.",
    metavar="NAME|CSV",
)
REPLICATES = Option(
    "replicates",
    "--replicates",
    "Replicates behind each sample's mean: a sample variable or covariate of the study, or a CSV "
    "table of samples and numbers.",
    metavar="NAME|CSV",
)
GENOTYPES = Option(
    "genotypes",
    "--genotypes",
    "What to test; by default the probabilities where there are three genotypes or more.",
    choices=get_args(GenotypeVariable),
)
PRECISION = Option(
    "precision",
    "--precision",
    "Of the matrix products; single is nearly twice as fast, LODs differ by less than 1e-4.",
    default="double",
    choices=PRECISIONS,
)

SCAN = (
    Option(
        "method",
        "--method",
        "null: h2 once a trait; alt: again for every pair, as GEMMA does (some fifteen times the "
        "work). exact: the maximum over [0, 1]; grid: the best value of a grid.",
        default="null-exact",
        choices=METHODS,
    ),
    Option(
        "h2_grid",
        "--h2-grid",
        "Grid of the grid methods: 0,0.25,0.5 or START:STEP:STOP, such as 0:0.05:0.95.",
        metavar="GRID",
    ),
    Option(
        "refine_above",
        "--refine-above",
        "With alt-exact: pairs from this LOD on are optimised one by one, to 1e-6; 3 by default.",
        kind=float,
        metavar="LOD",
    ),
    REML,
    KINSHIP,
    LOCO,
    COVARIATES,
    INTERACTION,
    Option(
        "condition",
        "--condition",
        "Markers that join the covariates: names with commas between, or a CSV table of traits and "
        "their markers, as 'bulklmm maxima --out' writes it.",
        metavar="MARKERS|CSV",
    ),
    WEIGHTS,
    REPLICATES,
    Option(
        "prior",
        "--prior",
        "Prior on the residual variance: its scale and its weight in samples.",
        metavar="VARIANCE,SIZE",
    ),
    GENOTYPES,
    Option(
        "statistics",
        "--statistics",
        f"More than the LOD, with commas between: {', '.join(STATISTICS)}.",
        default=("lod",),
        on_command_line="",
        metavar="NAMES",
    ),
    PRECISION,
    Option(
        "chunks",
        "--chunks",
        "Size of a block, which one task computes and one file keeps.",
        default="auto",
        metavar="VARIANTS,TRAITS",
    ),
)

SEED = Option(
    "seed",
    "--seed",
    "The same seed gives the same random numbers.",
    default=0,
    kind=int,
    metavar="NUMBER",
    least=0,
)

PERMUTE = (
    Option(
        "method",
        "--method",
        "per-trait permutes the residuals of every trait; shared draws normal residuals for all of "
        "them together, which takes seconds.",
        default="per-trait",
        choices=PERMUTE_METHODS,
    ),
    Option(
        "n_permutations",
        "--permutations",
        "How many.",
        default=1000,
        kind=int,
        metavar="N",
        least=1,
    ),
    SEED,
    Option(
        "strata",
        "--strata",
        "A sample variable or covariate of the study: exchange samples of equal value only.",
        metavar="NAME",
    ),
    Option("by", "--by", "Keep the highest LOD of each chromosome.", choices=get_args(By)),
    REML,
    KINSHIP,
    LOCO,
    COVARIATES,
    INTERACTION,
    WEIGHTS,
    REPLICATES,
    GENOTYPES,
    replace(PRECISION, default="single", help="Of the matrix products."),
)
