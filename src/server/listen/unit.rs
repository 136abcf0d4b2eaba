//! The systemd unit of the process at the other end of a Unix socket.
//!
//! The kernel names the process that connected. Its directory in /proc is held open while it is read, so that all that
//! is read is of one process, and of one user. What can't be excluded: a process that connects, hands its end to
//! another and ends, whose number a process of the unit is given before the connection is accepted.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

/// The unit of process `pid`, if it is still that of user `uid`.
pub(super) fn of(pid: i32, uid: u32) -> Option<Arc<str>> {
    let process = File::open(format!("/proc/{pid}")).ok()?;
    if process.metadata().ok()?.uid() != uid {
        return None;
    }
    let groups = fs::File::open(format!("/proc/self/fd/{}/cgroup", process.as_raw_fd())).ok()?;
    let mut text = String::new();
    groups.take(LENGTH_MAX).read_to_string(&mut text).ok()?;
    named(&text).map(Arc::from)
}

const LENGTH_MAX: u64 = 4_096;

/// The service in the text of a `cgroup` file of version 2.
///
/// Users name units below `user.slice` as they like, so those are nobody; and only a cgroup as the system's own manager
/// lays them out counts: slices, then the service.
fn named(text: &str) -> Option<&str> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mut parts = path.split('/');
    let top = parts.next().filter(|top| top.ends_with(".slice"))?;
    if top == "user.slice" {
        return None;
    }
    let unit = parts.find(|part| !part.ends_with(".slice"))?;
    Some(unit).filter(|unit| unit.ends_with(".service") && unit.len() > ".service".len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_of_the_system_is_a_unit() {
        for (text, unit) in [
            ("0::/system.slice/idp.service\n", Some("idp.service")),
            ("0::/system.slice/system-idp.slice/idp@1.service\n", Some("idp@1.service")),
            ("0::/system.slice/idp.service/worker\n", Some("idp.service")),
            ("1:name=systemd:/x\n0::/system.slice/idp.service\n", Some("idp.service")),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/idp.service\n", None),
            ("0::/system.slice/idp.scope/fake.service\n", None),
            ("0::/idp.service\n", None),
            ("0::/system.slice\n", None),
            ("0::/../../system.slice/idp.service\n", None),
            ("0::/\n", None),
            ("0::/system.slice/.service\n", None),
            ("", None),
        ] {
            assert_eq!(named(text), unit, "{text}");
        }
    }

    #[test]
    fn a_process_of_another_user_has_no_unit() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(of(pid, rustix::process::geteuid().as_raw() + 1), None);
        assert_eq!(of(i32::MAX, 0), None);
    }
}
