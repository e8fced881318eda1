from bulklmm_dask.typing import Array, Flags, Index, Real, Single

def best() -> int: ...
def climb(
    a: Single,
    g: Single,
    table: Single,
    node: Index,
    heights: Index,
    places: Single,
    far: Single,
    far_row: Index,
    inverse: Single,
    volume: Single,
    first: int,
    n: float,
    count: float,
    series: float,
    step: float,
    large: float,
    h2_max: float,
    reml: bool,
    value: Single,
    h2: Single,
    unsure: Flags,
    loops: int,
) -> None: ...
def fit_slopes(
    terms: Array,
    value: Array,
    first: Array,
    inverse: Array,
    gram_slope: Array,
    logdet_slope: Array,
    change: Array,
    count: float,
    flat: float,
    left: float,
    slope: Array,
    sure: Flags,
    loops: int,
) -> None: ...
def fit_sums(
    poles: Array,
    terms: Array,
    gram: Array,
    trace: Array,
    some: Index,
    h2: Array,
    sums: Array,
    loops: int,
) -> None: ...
def grid(
    score: Real,
    inverse: Real,
    volume: Real,
    factor: Real,
    full: Real,
    first: int,
    half_n: float,
    to_lod: float,
    limit: float,
    tied: float,
    lod: Real,
    best: Index,
    inexact: Flags,
    ties: Flags,
    loops: int,
) -> None: ...
def lods(
    score: Real,
    inverse: Real,
    out: Single,
    again: Index,
    limit: float,
    scale: float,
    loops: int,
) -> int: ...
def pair_derivatives(
    poles: Array,
    terms: Array,
    some: Index,
    h2: Array,
    volume_poles: Array,
    volume_terms: Array,
    count: float,
    reml: bool,
    slope: Array,
    bend: Array,
    loops: int,
) -> None: ...
def pair_values(
    poles: Array, terms: Array, some: Index, h2: Array, sums: Array, loops: int
) -> None: ...
def pair_terms(
    x: Array,
    y: Array,
    matrix: Array,
    squares: Array,
    traits: Array,
    i: Index,
    j: Index,
    terms: Array,
    wanted: Flags,
    weights: Array,
    xx: Array,
    root: Array,
    factor: float,
    peaks: Index,
    lost: Flags,
    loops: int,
) -> int: ...
def project_out(
    columns: Array, covariates: Array, size: Array, left: Array, loops: int
) -> None: ...
def volume_integrals(poles: Array, terms: Array, h2: Array, out: Array, loops: int) -> None: ...
