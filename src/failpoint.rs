//! Named points at which tests make the process die. Without the feature `failpoints` they are nothing.

/// Marks the point `name`: under the feature `failpoints`, and only if `JWKSD_FAILPOINT` names it, the
/// process ends here as if by SIGKILL, at the n-th passage for `name:n`.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn failpoint(_name: &'static str) {}

#[cfg(feature = "failpoints")]
pub use armed::failpoint;

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Armed {
        name: String,
        left: AtomicU32,
    }

    #[expect(clippy::disallowed_methods, reason = "test-only switch, read once; never compiled into a release")]
    fn armed() -> Option<&'static Armed> {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        let read = || {
            let text = std::env::var("JWKSD_FAILPOINT").ok()?;
            let (name, passage) = text.split_once(':').unwrap_or((&text, "1"));
            Some(Armed { name: name.to_owned(), left: AtomicU32::new(passage.parse().unwrap_or(1)) })
        };
        ARMED.get_or_init(read).as_ref()
    }

    /// Ends the process as if by SIGKILL if `JWKSD_FAILPOINT` is `name`, or `name:n` at the n-th passage.
    pub fn failpoint(name: &'static str) {
        let Some(armed) = armed() else { return };
        if armed.name == name && armed.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let me = rustix::process::getpid();
            // SIGKILL runs no destructor and flushes nothing: what remains is what was durable.
            let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
        }
    }
}
