"""The alternative methods: h2 is estimated again for every pair of a marker and a trait."""
