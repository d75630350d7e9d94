//! Commands that are there before they run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use beetrace_kernel::Child;

fn shell(script: &str) -> Child {
    Child::spawn(Path::new("/bin/sh"), &["sh", "-c", script], false).expect("a child")
}

#[test]
fn a_command_runs_when_it_is_released() {
    let mut child = shell("exit 7");
    assert_eq!(child.try_wait().expect("wait"), None);
    child.release().expect("release");
    assert_eq!(child.wait().expect("wait").code(), Some(7));
    assert_eq!(child.wait().expect("again").code(), Some(7));
}

#[test]
fn a_loaded_command_has_its_image_and_has_not_run() {
    let mut child = shell("exit 3");
    match child.load() {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: needs ptrace(2)");
            return;
        }
        result => result.expect("load"),
    }
    let image = fs::read_link(format!("/proc/{}/exe", child.pid())).expect("its image");
    assert_eq!(image, fs::canonicalize("/bin/sh").expect("the shell"));
    assert_eq!(child.try_wait().expect("wait"), None);
    child.release().expect("release");
    assert_eq!(child.wait().expect("wait").code(), Some(3));
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    for load in [false, true] {
        let mut child = Child::spawn(Path::new("/nonsense"), &["nonsense"], false).expect("fork");
        let result = if load { child.load() } else { child.release() };
        let error = result.expect_err("no such program");
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }
}

#[test]
fn a_command_is_ended_with_its_handle() {
    let mut child = shell("sleep 60");
    child.release().expect("release");
    child.terminate().expect("terminate");
    assert_eq!(child.wait().expect("wait").code(), None);

    let child = shell("sleep 60");
    let pid = child.pid();
    drop(child);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn the_end_can_be_waited_for_with_files() {
    use beetrace_engine::Engine;
    use std::os::fd::AsRawFd;

    let mut child = Child::spawn(Path::new("/bin/echo"), &["echo", "hidden"], true).expect("fork");
    let Some(pidfd) = child.pidfd().map(|fd| fd.as_raw_fd()) else {
        eprintln!("skipped: needs pidfd_open(2)");
        return;
    };
    child.release().expect("release");
    let polled = beetrace_kernel::Kernel::new()
        .poll(Some(Duration::from_secs(10)), &[pidfd], &mut |_| true)
        .expect("poll");
    assert!(polled.other);
    assert!(child.try_wait().expect("wait").is_some_and(|s| s.success()));
}
