//! Where the state of issuers is kept, and the contract of such a place.
