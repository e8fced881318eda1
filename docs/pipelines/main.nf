// From PLINK files to hits. Run with: nextflow run main.nf --plink mice --traits expression.csv
// Run it again with -resume: finished steps are not repeated, and stopped ones go on.

params.plink = "mice"              // mice.bed, mice.bim and mice.fam
params.traits = "expression.csv"   // samples x traits
params.permutations = 1000
params.alpha = 0.05
params.scan = ""                   // more options of the scan, such as "--method alt-exact"
params.out = "results"

// Each try of a task has a folder of its own. Stores that are to be resumed stand in the results.
out = file(params.out).toAbsolutePath()

process study {
    publishDir params.out, mode: "copy"

    input:
    tuple path(bed), path(bim), path(fam)
    path traits

    output:
    path "study.zarr"

    script:
    """
    bulklmm import plink ${bed} study.zarr --traits ${traits}
    bulklmm kinship study.zarr
    """
}

process scan {
    cpus 4
    maxRetries 2
    errorStrategy "retry"

    input:
    path study

    output:
    val "${out}/lod.zarr"

    script:
    """
    bulklmm scan ${study} ${out}/lod.zarr --threads ${task.cpus} ${params.scan}
    """
}

process permute {
    cpus 4
    maxRetries 2
    errorStrategy "retry"

    input:
    path study

    output:
    val "${out}/perm.zarr"

    script:
    """
    bulklmm permute ${study} ${out}/perm.zarr --permutations ${params.permutations} --threads ${task.cpus}
    """
}

process hits {
    publishDir params.out, mode: "copy"

    input:
    val lod
    val perm

    output:
    path "hits.csv"

    script:
    """
    bulklmm hits ${lod} --perm ${perm} --alpha ${params.alpha} --out hits.csv
    """
}

process peaks {
    publishDir params.out, mode: "copy"

    input:
    val lod
    val perm
    path study

    output:
    path "peaks.csv"
    path "map.html"

    script:
    """
    bulklmm peaks ${lod} --perm ${perm} --alpha ${params.alpha} --out peaks.csv
    bulklmm plot eqtl peaks.csv ${study} --threshold 0 --out map.html
    """
}

process report {
    publishDir params.out, mode: "copy"

    input:
    val lod
    val perm
    path study

    output:
    path "report.html"

    script:
    """
    bulklmm report ${lod} --study ${study} --perm ${perm} --out report.html
    """
}

workflow {
    out.mkdirs()
    files = ["bed", "bim", "fam"].collect { part -> file("${params.plink}.${part}") }
    made = study(Channel.of(files), file(params.traits))
    lod = scan(made)
    perm = permute(made)
    hits(lod, perm)
    peaks(lod, perm, made)
    report(lod, perm, made)
}
