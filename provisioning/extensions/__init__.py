"""The directory of extensions at work: what may stand in it, whole files of it, and phones that follow a change."""
