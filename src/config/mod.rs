//! The configuration file and the validated tree made from it.
