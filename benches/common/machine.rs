//! Tools, processors, and what the kernel counts of a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The processor of the server under test.
pub const SERVER: usize = 0;
/// The processor of whatever puts load on it.
pub const CLIENT: usize = 1;

/// Looks for commands, given with the Debian package that holds each; says what is missing and how to get it.
pub fn has(tools: &[(&str, &str)]) -> bool {
    let missing: Vec<_> = tools.iter().filter(|(command, _)| find(command).is_none()).collect();
    if missing.is_empty() {
        return true;
    }
    let commands: Vec<&str> = missing.iter().map(|(command, _)| *command).collect();
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    println!("SKIPPED: {} missing; on Debian: apt-get install {}", commands.join(", "), packages.join(" "));
    false
}

/// Where a command is; servers live in directories that not everybody's PATH names.
pub fn find(command: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let directories = path.split(':').chain(["/usr/sbin", "/sbin"]).map(Path::new);
    directories.map(|directory| directory.join(command)).find(|file| file.is_file())
}

/// A command that runs on one processor only.
pub fn pinned(cpu: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(cpu.to_string()).arg(program);
    command
}

/// Keeps the calling thread on one processor.
pub fn pin_this_thread(cpu: usize) {
    let link = fs::read_link("/proc/thread-self").expect("procfs");
    let id = link.file_name().expect("a thread has a number").to_owned();
    let status = Command::new("taskset").args(["-cp", &cpu.to_string()]).arg(id).stdout(Stdio::null()).status();
    assert!(status.expect("taskset").success(), "taskset could not pin a thread");
}

/// Processor time of the calling thread.
pub fn thread_time() -> Duration {
    run_time(Path::new("/proc/thread-self/schedstat"))
}

/// Processor time of the living threads of a process, to the nanosecond.
pub fn process_time(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a living process");
    tasks.flatten().map(|task| run_time(&task.path().join("schedstat"))).sum()
}

fn run_time(schedstat: &Path) -> Duration {
    let text = fs::read_to_string(schedstat).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

/// Clock ticks (a hundredth of a second each) of a process since its start, ended threads included.
pub fn process_ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a living process");
    // The command's name, in parentheses, may hold anything.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// Resident memory of a process, in bytes.
pub fn resident(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("a living process");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1_024
}

/// One line about the machine and how busy it was.
pub fn describe() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} processors,{}; load before the start {load}", model.trim_start().trim_start_matches(':'))
}
