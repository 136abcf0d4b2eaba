//! Puts the parts together: the only file that names concrete backends, stores and publishers.
