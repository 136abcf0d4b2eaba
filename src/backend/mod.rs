//! The secure backends that hold private keys, and their contract.
