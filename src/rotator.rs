//! Looks at the state, does at most one action, records the fact, looks again.
