//! Named points at which tests make the process die. Without the feature `failpoints` they are nothing.

/// Marks the point `name`: under the feature `failpoints`, and only if `JWKSD_FAILPOINT` names it, the
/// process ends here as if by SIGKILL, at the n-th passage for `name:n`. `*:n` is the n-th passage of any point,
/// and `JWKSD_FAILPOINT_TRACE` names a file that gets a line for each passage.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn failpoint(_name: &'static str) {}

#[cfg(feature = "failpoints")]
pub use armed::failpoint;

#[cfg(feature = "failpoints")]
mod armed {
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[derive(Default)]
    struct Armed {
        name: Option<String>,
        left: AtomicU32,
        trace: Option<File>,
    }

    #[expect(clippy::disallowed_methods, reason = "test-only switches, read once; never compiled into a release")]
    fn armed() -> &'static Armed {
        static ARMED: OnceLock<Armed> = OnceLock::new();
        ARMED.get_or_init(|| {
            let trace = std::env::var("JWKSD_FAILPOINT_TRACE").ok();
            let trace = trace.and_then(|path| OpenOptions::new().append(true).create(true).open(path).ok());
            let Ok(text) = std::env::var("JWKSD_FAILPOINT") else { return Armed { trace, ..Armed::default() } };
            let (name, passage) = text.split_once(':').unwrap_or((&text, "1"));
            Armed { name: Some(name.to_owned()), left: AtomicU32::new(passage.parse().unwrap_or(1)), trace }
        })
    }

    /// Ends the process as if by SIGKILL if `JWKSD_FAILPOINT` is `name`, or `name:n` at the n-th passage.
    pub fn failpoint(name: &'static str) {
        let Armed { name: armed, left, trace } = armed();
        if let Some(mut trace) = trace.as_ref() {
            let _ = trace.write_all(format!("{name}\n").as_bytes());
        }
        let is_meant = armed.as_ref().is_some_and(|armed| armed == name || armed == "*");
        if is_meant && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let me = rustix::process::getpid();
            // SIGKILL runs no destructor and flushes nothing: what remains is what was durable.
            let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
        }
    }
}
