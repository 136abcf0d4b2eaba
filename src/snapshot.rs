//! The committed state as readers see it: the one read path for signing and serving.
