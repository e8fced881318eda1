"""Every option of scan and permute, declared once.

A row holds the name of the argument (which is also the attribute of a result), its default, its
choices and its command-line flag. The commands, and the calls in a report that repeat a scan, are
made from the rows; a test compares the signatures of the functions with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from bulklmm_dask.lmm.statistics import STATISTICS
from bulklmm_dask.typing import By, CompressionName

Method = Literal["null-exact", "null-grid", "alt-exact", "alt-grid"]
PermuteMethod = Literal["per-trait", "shared"]
Precision = Literal["double", "single"]
KinshipMethod = Literal[
    "bulklmm",
    "rqtl2",
    "centered",
    "standardized",
    "dominance",
    "epistasis",
    "epistasis-dominance",
    "gaussian",
    "linear",
]
PlanMethod = Literal["null-exact", "null-grid", "alt-exact", "alt-grid", "per-trait"]
Keep = Literal["lods", "hits", "maxima"]
Model = Literal["full", "additive"]
GenotypeVariable = Literal["call_dosage", "call_genotype_probability"]

MODELS: tuple[Model, ...] = get_args(Model)
METHODS: tuple[Method, ...] = get_args(Method)
KINSHIP_METHODS: tuple[KinshipMethod, ...] = get_args(KinshipMethod)
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
        Flag of the command.
    help : str
        Text in the command's help.
    default : object
        Default of the argument.
    on_command_line : str or None
        Default of the command's option, if it is written differently.
    kind : type
        Type of the command's option: bool for a switch, str also for text that the command parses.
    choices : tuple of str
        All allowed values; empty if any value is allowed.
    metavar : str or None
        Placeholder of the value in the command's help.
    least : int or None
        Smallest allowed number.
    also : tuple of str
        Further flags of the command for the same.
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
    also: tuple[str, ...] = ()


REML = Option(
    "reml", "--reml", "Restricted maximum likelihood instead of ML.", default=False, kind=bool
)
KINSHIP = Option(
    "kinship",
    "--kinship",
    "A variable of the study; a method of 'bulklmm kinship' to compute it now; "
    "a store from 'bulklmm kinship --out'; a table, such as GEMMA's .cXX.txt; or none for ordinary "
    "regression.",
    default="kinship",
    metavar="NAME|none|PATH",
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
    "Additive covariates, by name with commas between: columns given as covariates, and metadata "
    "of the samples. -NAME leaves one of all out: all,-age. An intercept is always in.",
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
    "Genotypes to test; by default the probabilities if there are three genotypes or more.",
    choices=get_args(GenotypeVariable),
)
MODEL = Option(
    "model",
    "--model",
    "What is tested of genotype probabilities: every genotype, or additive, the share of each "
    "allele.",
    default="full",
    choices=MODELS,
)
X_COVARIATES = Option(
    "x_covariates",
    "--x-covariates",
    "Covariates of markers on the X only: all those of the cross (sex, direction), or by name.",
    metavar="all|none|NAMES",
)
PRECISION = Option(
    "precision",
    "--precision",
    "Precision of the matrix products; single is nearly twice as fast, with LODs within 1e-4.",
    default="double",
    choices=PRECISIONS,
)
COMPRESSION = Option(
    "compression",
    "--compression",
    "Codec of a new store: lz4, the default, or zstd, which takes less room, and several times as "
    "long to write.",
    choices=get_args(CompressionName),
)
DIGITS = Option(
    "digits",
    "--digits",
    "Significant digits that are stored of every number, to save room; all by default.",
    kind=int,
    metavar="NUMBER",
    least=1,
)

# Options of a store that is made, and of no other result.
OF_STORES = (COMPRESSION, DIGITS)
SHARE = Option(
    "share",
    "--share",
    "Compute only this share of the traits, such as 3/10: ten tasks of an array, from 1/10 to "
    "10/10, write one store at the same time.",
    metavar="NUMBER/COUNT",
)

SCAN = (
    Option(
        "method",
        "--method",
        "null: estimate h2 once per trait; alt: again for every pair, as GEMMA does (some fifteen "
        "times the work). exact: the maximum over [0, 1]; grid: the best value of a grid.",
        default="null-exact",
        choices=METHODS,
    ),
    Option(
        "h2_grid",
        "--h2-grid",
        "Values of h2 for the grid methods: 0,0.25,0.5 or START:STEP:STOP, such as 0:0.05:0.95.",
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
    X_COVARIATES,
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
    MODEL,
    Option(
        "statistics",
        "--statistics",
        f"Statistics besides the LOD, with commas between: {', '.join(STATISTICS)}.",
        default=("lod",),
        on_command_line="",
        metavar="NAMES",
    ),
    PRECISION,
    Option(
        "chunks",
        "--chunks",
        "Size of a block: the part of the result that is computed and written at a time.",
        default="auto",
        metavar="VARIANTS,TRAITS",
    ),
    *OF_STORES,
    SHARE,
)
# Those of a scan whose LODs are not kept.
PASSING_SCAN = tuple(row for row in SCAN if row not in (*OF_STORES, SHARE))

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
        "per-trait permutes the residuals of every trait; shared draws normal residuals for all "
        "traits together, which takes seconds.",
        default="per-trait",
        choices=PERMUTE_METHODS,
    ),
    Option(
        "n_permutations",
        "--permutations",
        "Number of permutations.",
        default=1000,
        kind=int,
        metavar="N",
        least=1,
    ),
    SEED,
    Option(
        "strata",
        "--strata",
        "Exchange samples of equal value only: a sample variable or covariate of the study, or a "
        "CSV table of samples and labels.",
        metavar="NAME|CSV",
    ),
    Option(
        "by",
        "--by",
        "Keep the highest LOD of each chromosome.",
        choices=get_args(By),
    ),
    REML,
    KINSHIP,
    LOCO,
    COVARIATES,
    X_COVARIATES,
    INTERACTION,
    WEIGHTS,
    REPLICATES,
    GENOTYPES,
    MODEL,
    replace(PRECISION, default="single", help="Precision of the matrix products."),
    *OF_STORES,
)

PLAN = (
    replace(
        SCAN[0],
        help="Method of the scan, or per-trait for permutations.",
        choices=get_args(PlanMethod),
    ),
    Option("n_samples", "--samples", "Samples of a study to come.", kind=int, least=1),
    Option(
        "n_variants",
        "--variants",
        "Markers of a study to come.",
        kind=int,
        least=1,
        also=("--markers",),
    ),
    Option("n_traits", "--traits", "Traits of a study to come.", kind=int, least=1),
    Option("n_contigs", "--contigs", "Chromosomes of a study to come.", kind=int, least=1),
    Option(
        "n_covariates",
        "--n-covariates",
        "Covariates of a study to come, without the intercept.",
        default=0,
        kind=int,
        least=0,
    ),
    Option(
        "n_genotypes",
        "--n-genotypes",
        "Genotypes of a study to come, if their probabilities are tested.",
        kind=int,
        least=2,
    ),
    Option(
        "n_patterns",
        "--patterns",
        "Patterns of missing trait values: each has an eigenbasis of its own.",
        kind=int,
        least=1,
    ),
    *(row for row in SCAN[1:] if row.name not in ("precision", "share")),
    replace(
        PRECISION,
        help="Precision of the matrix products: double by default, single for permutations.",
        default=None,
    ),
    *(row for row in PERMUTE if row.name in ("n_permutations", "by")),
    Option(
        "keep",
        "--keep",
        "What is kept of a scan: all LODs in a store, hits, or the highest LOD of each trait.",
        default="lods",
        choices=get_args(Keep),
    ),
    Option("threshold", "--threshold", "LOD of a hit, for --keep hits.", kind=float),
    Option(
        "workers",
        "--workers",
        "Worker processes; 1 plans the threads of one process.",
        default=1,
        kind=int,
        metavar="N",
        least=1,
    ),
    Option(
        "threads",
        "--threads",
        "Threads of each worker; by default the cores of this machine, shared.",
        kind=int,
        metavar="N",
        least=1,
    ),
    Option("memory", "--memory", "Memory limit of each worker, such as 4GB.", metavar="LIMIT"),
)
