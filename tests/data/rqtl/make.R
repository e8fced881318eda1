# Writes the files of this folder with R/qtl: crosses in its formats, and for each the dosages of the
# second allele by R/qtl's reading of that very file.
library(qtl)

dosage <- function(cross) {
  sex <- getsex(cross)
  of_chr <- function(chr) {
    g <- pull.geno(cross, chr = chr)
    if (class(cross)[1] == "bc") return(g - 1)
    if (class(cross)[1] %in% c("riself", "risib")) return(g - 1)
    d <- matrix(c(0, 0.5, 1, NA, NA)[g], nrow(g), dimnames = dimnames(g))
    if (class(cross$geno[[chr]])[1] == "X") {
      # R/qtl keeps 1 and 2 on the X: males A, B; females AA, AB, or BB, AB of the other direction
      male <- sex$sex == 1
      other <- !male & !is.null(sex$pgm) & sex$pgm == 1
      d[male, ] <- g[male, ] - 1
      d[other, ] <- 1 - (g[other, ] - 1) / 2
    }
    d
  }
  found <- t(do.call(cbind, lapply(names(cross$geno), of_chr)))
  colnames(found) <- if (is.null(getid(cross))) seq_len(nind(cross)) else getid(cross)
  found
}

keep <- function(cross, name, format = "csv", genotypes = c("A", "H", "B", "D", "C"), ...) {
  write.cross(cross, format, filestem = name)
  files <- if (format %in% c("csvs", "csvsr")) paste0(name, c("_gen.csv", "_phe.csv"))
  again <- if (is.null(files)) read.cross(format, "", paste0(name, ".csv"), genotypes = genotypes,
                                          estimate.map = FALSE, ...)
  else read.cross(format, "", genfile = files[1], phefile = files[2], genotypes = genotypes,
                  estimate.map = FALSE, ...)
  if (inherits(cross, "riself")) again <- convert2riself(again)
  write.csv(dosage(again), paste0(name, "_dosage.csv"), quote = FALSE)
}

data(hyper); data(listeria); data(fake.f2); data(fake.bc)
set.seed(1)
keep(subset(hyper, chr = c(1, 4, "X"), ind = 1:40), "hyper", genotypes = c("BB", "BA", "AA"))
cc <- c("CC", "CB", "BB", "not BB", "not CC")
keep(subset(listeria, chr = c(1, 5, 13, "X"), ind = 1:40), "listeria", "csvr", genotypes = cc)
f2 <- subset(fake.f2, chr = c(1, 5, "X"), ind = 1:60)
f2$pheno$sex <- rep(0:1, 30)
f2$pheno$pgm <- rep(c(0, 0, 1, 1), 15)
f2$pheno$id <- paste0("mouse", 60:1)
keep(f2, "f2", "csvs")
keep(subset(f2, ind = 1:20), "f2r", "csvsr")
keep(subset(fake.bc, chr = 1:3, ind = 1:30), "fake_bc")
map <- sim.map(c(50, 50), 5, include.x = TRUE)
bc <- sim.cross(map, n.ind = 20, type = "bc")
bc$pheno$sex <- rep(0:1, 10)
keep(bc, "bc_x", "csvr")
keep(sim.cross(sim.map(c(50, 50), 5, include.x = FALSE), n.ind = 12, type = "riself"), "riself")
