//! Whose address is this: the pipeline of phases, the commit, delivery, and bounces.
