//! The command that a run is about.

use std::io;
use std::os::fd::RawFd;

/// A command started stopped, or a process watched: its end ends the run.
pub trait Child {
    fn pid(&self) -> u32;
    /// Whether it is a command of ours, which gets the time that it needs.
    fn is_command(&self) -> bool;
    /// Readable once it has ended.
    fn fd(&self) -> RawFd;
    /// Lets it go.
    fn release(&mut self) -> io::Result<()>;
    /// Ends it where it is ours to end.
    fn terminate(&mut self);
    /// How it ended, for the person who asked for details; `None` while it runs or where nobody can know.
    fn outcome(&mut self) -> Option<String>;
}
