//! What processes map, from the kernel to the symbols of the session.

use std::os::fd::RawFd;
use std::rc::Rc;

use beetrace_kernel::{ProcessEvent, ProcessEvents};
use beetrace_session::symbols::{self, MappedFile, ProcessSource};
use beetrace_session::system::System;

/// Lets stacks of processes keep their names when the processes end: of `pid` and its children, or of all.
pub fn follow(system: &mut System<'_>, pid: Option<u32>) {
    if !system.wants_processes() {
        return;
    }
    // Where the kernel gives no events, what is mapped now has to do.
    if let Ok(events) = ProcessEvents::open(pid) {
        system.follow(Box::new(Events(events)));
    }
    match pid {
        Some(pid) => system.preload(pid),
        None => system.preload_targets(),
    }
}

struct Events(ProcessEvents);

impl ProcessSource for Events {
    fn fds(&self) -> Vec<RawFd> {
        self.0.fds().collect()
    }

    fn drain(&mut self, sink: &mut dyn FnMut(symbols::ProcessEvent)) {
        self.0.drain(&mut |event| sink(translate(event)));
    }
}

fn translate(event: ProcessEvent) -> symbols::ProcessEvent {
    match event {
        ProcessEvent::Fork { pid, parent } => symbols::ProcessEvent::Fork { parent, child: pid },
        ProcessEvent::Exec { pid, .. } => symbols::ProcessEvent::Exec(pid),
        ProcessEvent::Exit { pid } => symbols::ProcessEvent::Exit(pid),
        ProcessEvent::Map(mapped) => symbols::ProcessEvent::Map(MappedFile {
            pid: mapped.pid,
            start: mapped.address,
            end: mapped.address.saturating_add(mapped.len),
            file_offset: mapped.offset,
            path: Rc::from(mapped.path.to_string_lossy()),
            inode: mapped.inode,
        }),
    }
}
