//! Chooses the version, signs, verifies with the published key.
