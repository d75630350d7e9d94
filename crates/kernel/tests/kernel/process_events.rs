//! Processes that come and go.

use std::path::Path;

use beetrace_kernel::{Child, ProcessEvent, ProcessEvents};

use crate::common::*;

#[test]
fn the_life_of_a_command_is_seen() {
    if skipped() {
        return;
    }
    for only_it in [false, true] {
        let mut child = Child::spawn(Path::new("/bin/true"), &["true"], true).expect("fork");
        let pid = child.pid();
        let mut events = ProcessEvents::open(only_it.then_some(pid)).expect("open");
        child.release().expect("release");
        child.wait().expect("wait");
        let mut seen = Vec::new();
        events.drain(&mut |event| {
            let of = match &event {
                ProcessEvent::Fork { pid, .. }
                | ProcessEvent::Exec { pid, .. }
                | ProcessEvent::Exit { pid } => *pid,
                ProcessEvent::Map(mapped) => mapped.pid,
            };
            if of == pid {
                seen.push(event);
            }
        });
        assert!(
            matches!(seen.first(), Some(ProcessEvent::Exec { comm, .. }) if comm == "true"),
            "{seen:?}"
        );
        assert_eq!(seen.last(), Some(&ProcessEvent::Exit { pid }));
        let binary = std::fs::canonicalize("/bin/true").expect("the binary");
        assert!(
            seen.iter()
                .any(|e| matches!(e, ProcessEvent::Map(m) if m.path == binary && m.len > 0)),
            "{seen:?}"
        );
    }
}
