"""The null methods: h2 is estimated once per trait, without a marker."""
