//! The process that a run is about: the command of `-c`, or the one of `-p`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use beetrace_kernel::Child as Command;
use beetrace_session::child::Child;
use beetrace_session::records::plain;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::Reported;

pub enum Target {
    Command(Command),
    Process { pid: u32, fd: OwnedFd },
}

impl Target {
    /// The process id of the command, if it is one.
    pub fn command(&self) -> Option<u32> {
        match self {
            Target::Command(c) => Some(c.pid()),
            Target::Process { .. } => None,
        }
    }

    pub fn into_session(self) -> Box<dyn Child> {
        match self {
            Target::Command(command) => Box::new(Started {
                command,
                outcome: None,
            }),
            Target::Process { pid, fd } => Box::new(Watched { pid, fd }),
        }
    }
}

/// Makes the process of a command, which waits.
pub fn start(command: &str) -> Result<Target, Reported> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let Some(name) = words.first() else {
        return Err(Reported::error("-c needs a command"));
    };
    let program = find_program(name).ok_or_else(|| {
        Reported::error(format_args!(
            "path '{name}' does not exist or is not executable"
        ))
    })?;
    let child = Command::spawn(&program, &words, false);
    child
        .map(Target::Command)
        .map_err(|e| Reported::error(format_args!("cannot start '{name}': {}", plain(&e))))
}

/// Watches a process for its end.
pub fn watch(pid: u32) -> Result<Target, Reported> {
    let raw = Pid::from_raw(pid as i32)
        .ok_or_else(|| Reported::error(format_args!("Pid out of range: {pid}")))?;
    match pidfd_open(raw, PidfdFlags::empty()) {
        Ok(fd) => Ok(Target::Process { pid, fd }),
        Err(e) => Err(Reported::error(format_args!(
            "cannot watch process {pid}: {}",
            plain(&e.into())
        ))),
    }
}

/// As a shell finds it.
fn find_program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let is_program = |p: &Path| {
        p.metadata()
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|p| is_program(p));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|p| is_program(p))
}

struct Started {
    command: Command,
    outcome: Option<String>,
}

impl Child for Started {
    fn pid(&self) -> u32 {
        self.command.pid()
    }

    fn is_command(&self) -> bool {
        true
    }

    fn fd(&self) -> RawFd {
        self.command.pidfd().map_or(-1, |fd| fd.as_raw_fd())
    }

    fn release(&mut self) -> io::Result<()> {
        self.command.release()
    }

    fn terminate(&mut self) {
        if self.outcome().is_none() {
            // It may have ended just now.
            let _ = self.command.terminate();
        }
    }

    fn outcome(&mut self) -> Option<String> {
        if self.outcome.is_none()
            && let Ok(Some(status)) = self.command.try_wait()
        {
            self.outcome = Some(match (status.code(), status.signal()) {
                (Some(code), _) => format!("Child exited with code: {code}"),
                (None, Some(signal)) => format!("Child terminated by signal: {signal}"),
                (None, None) => "Child ended".into(),
            });
        }
        self.outcome.clone()
    }
}

struct Watched {
    pid: u32,
    fd: OwnedFd,
}

impl Child for Watched {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn is_command(&self) -> bool {
        false
    }

    fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    fn release(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn terminate(&mut self) {}

    fn outcome(&mut self) -> Option<String> {
        let timeout = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut fds = [rustix::event::PollFd::new(
            &self.fd,
            rustix::event::PollFlags::IN,
        )];
        let ended = rustix::event::poll(&mut fds, Some(&timeout)).is_ok_and(|n| n > 0);
        ended.then(|| format!("Process {} ended", self.pid))
    }
}
