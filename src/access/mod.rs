//! Who calls, and what that caller may have signed.
