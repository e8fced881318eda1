"""The command line, run in this process; a call of each command."""

import click
from click.testing import CliRunner
from studies import study

import bulklmm_dask as blmm
from bulklmm_dask.cli import main

SMALL = ["--traits", "12", "--samples", "40", "--strains", "20", "--variants", "90"]


def run(*arguments, code=0):
    """Run a command; the exit code must be as said (None: any), and errors must be one line."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert code is None or result.exit_code == code, result.output
    assert "Traceback" not in result.output
    begins = {1: "error: ", 2: "Error: "}
    if result.exit_code in begins:
        assert result.stderr.strip().splitlines()[-1].startswith(begins[result.exit_code])
    return result


def simulated(path, *, traits, variants, samples, strains):
    """Make a study with its kinship; gives its path."""
    sizes = {"traits": traits, "variants": variants, "samples": samples, "strains": strains}
    run("simulate", path, *(word for name, size in sizes.items() for word in (f"--{name}", size)))
    run("kinship", path)
    return path


def every_command(group=main, *names):
    """Every command that is no group, with the words of its name."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from every_command(command, *names, name)
        else:
            yield (*names, name), command


def flags_of(command):
    """Every spelling of every option of a command."""
    every = command.get_params(click.Context(command))
    return {flag for one in every for flag in (*one.opts, *one.secondary_opts)}


# A call of each command, in a folder of `files_of_calls`; {} is a folder for what it makes.
CALLS = {
    "import": "import csv t.csv {}/new.zarr --genotypes g.csv",
    "kinship": "kinship study.zarr --out {}/K.zarr",
    "scan": "scan study.zarr {}/new.zarr",
    "maxima": "maxima scan.zarr",
    "hits": "hits scan.zarr --threshold 2",
    "peaks": "peaks scan.zarr",
    "hotspots": "hotspots peaks.csv --window 5",
    "permute": "permute study.zarr {}/perm.zarr --permutations 3",
    "thresholds": "thresholds perm.zarr",
    "heritability": "heritability study.zarr",
    "profile": "profile study.zarr {trait}",
    "report": "report scan.zarr --out {}/r.html",
    "simulate": "simulate {}/new.zarr --traits 2 --samples 20 --strains 0 --variants 30",
    "probabilities": "probabilities cross.yaml {}/new.zarr",
    "plan": "plan study.zarr",
    "info": "info study.zarr",
    "verify": "verify scan.zarr",
    "demo": "demo --study study.zarr --out {}/demo",
    "help": "help scan",
    "completion": "completion bash",
    "plot lod": "plot lod scan.zarr {trait} --out {}/p.png",
    "plot eqtl": "plot eqtl peaks.csv study.zarr --out {}/p.png",
    "plot heatmap": "plot heatmap scan.zarr --out {}/p.png",
    "plot manhattan": "plot manhattan scan.zarr {trait} --out {}/p.png",
    "plot qq": "plot qq scan.zarr --out {}/p.png",
    "plot hotspots": "plot hotspots hotspots.csv study.zarr --out {}/p.png",
    "plot kinship": "plot kinship study.zarr --out {}/p.png",
    "plot profile": "plot profile study.zarr {trait} --out {}/p.png",
    "plot effects": "plot effects study.zarr {trait} {marker} --out {}/p.png",
    "plot coefficients": "plot coefficients cross.yaml weight --kinship none --out {}/p.png",
    "plot miami": "plot miami scan.zarr scan.zarr {trait} --out {}/p.png",
    "plot shares": "plot shares shares.csv --out {}/p.png",
    "plot share-pairs": "plot share-pairs shares.csv --out {}/p.png",
    "blup": "blup cross.yaml weight --kinship none",
    "snps": "snps cross.yaml {}/new.zarr --snps snps.csv",
    "plot permutations": "plot permutations perm.zarr {trait} --out {}/p.png",
}

CROSS = {
    "cross.yaml": "crosstype: f2\ngeno: geno.csv\npheno: pheno.csv\ngmap: gmap.csv\n"
    "genotypes: {SS: 1, SB: 2, BB: 3}\nalleles: [S, B]\n",
    "geno.csv": "id,m1,m2\na,SS,SB\nb,SB,BB\nc,BB,NA\n",
    "pheno.csv": "id,weight\na,20.1\nb,22.5\nc,20\n",
    "snps.csv": "snp,chr,pos,sdp\nrs1,1,3,1\n",
    "gmap.csv": "marker,chr,pos\nm1,1,3\nm2,1,23\n",
}


def files_of_calls(folder):
    """Make what the calls read; gives the folder."""
    blmm.save(study(20, 8, 3), folder / "study.zarr")
    run("scan", folder / "study.zarr", folder / "scan.zarr")
    run("permute", folder / "study.zarr", folder / "perm.zarr", "--permutations", "20")
    run("peaks", folder / "scan.zarr", "--threshold", "0.1", "--out", folder / "peaks.csv")
    run("hotspots", folder / "peaks.csv", "--window", "5", "--out", folder / "hotspots.csv")
    tables = {
        "t.csv": "id,t\na,1\nb,2\nc,4\n",
        "g.csv": "id,m\na,0\nb,1\nc,2\n",
        "shares.csv": "trait,component,h2\nt,cage,0.25\nt,residual,0.75\n",
    }
    for name, content in (tables | CROSS).items():
        (folder / name).write_text(content)
    return folder


def call_of(name, folder, new):
    """Words of the call of a command, which writes into the folder `new`."""
    ds = blmm.open_dataset(folder / "study.zarr")
    names = {"trait": ds.trait_id.values[1], "marker": ds.variant_id.values[2]}
    return CALLS[name].format(new, **names).split()
