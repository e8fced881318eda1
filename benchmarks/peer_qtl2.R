# R/qtl2's scan1 of arrays in a folder; prints its version and seconds. See peers.py.
suppressPackageStartupMessages(library(qtl2))
sizes <- as.integer(commandArgs(TRUE))
ids <- paste0("s", seq_len(sizes[1]))
columns <- function(name, prefix, count) {
  numbers <- readBin(paste0(name, ".bin"), "double", sizes[1] * count)
  matrix(numbers, sizes[1], count, dimnames = list(ids, paste0(prefix, seq_len(count))))
}
dosage <- columns("dosage", "m", sizes[2])
traits <- columns("traits", "t", sizes[3])
kinship <- 2 * columns("kinship", "s", sizes[1])
probabilities <- array(
  c(1 - dosage, dosage), c(sizes[1], sizes[2], 2),
  list(ids, colnames(dosage), c("AA", "BB"))
)
genoprobs <- list("1" = aperm(probabilities, c(1, 3, 2)))
attributes(genoprobs) <- c(attributes(genoprobs), list(
  crosstype = "risib", is_x_chr = c("1" = FALSE), alleles = c("A", "B"), alleleprobs = FALSE,
  class = c("calc_genoprob", "list")
))
taken <- system.time(found <- scan1(genoprobs, traits, kinship, reml = FALSE))
stopifnot(dim(found) == sizes[2:3])
cat(as.character(packageVersion("qtl2")), taken[["elapsed"]], taken[["user.self"]] + taken[["sys.self"]], "\n")
