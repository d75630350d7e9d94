//! What the printing of a value asks of the system: symbols, stacks, clocks, users, cgroups.

use std::os::fd::RawFd;

use beetrace_object::{Clock, StackLayout};

/// Answers that depend on the machine. Never fails: what is not known is shown in the plainest form that is true, an
/// address or a number.
pub trait Resolve {
    /// The kernel function that holds the address.
    fn kernel_symbol(&mut self, address: u64) -> String;
    /// The function of that process; `program` is the index of the program that took the address.
    fn user_symbol(&mut self, address: u64, pid: u32, program: u32) -> String;
    /// A stack in the form of its mode, a line a frame, beginning and ending with a line break.
    fn stack(&mut self, layout: &StackLayout, id: u64, pid: u32) -> String;
    /// Whether the frames of a stack are known already, by the map that holds them and its id.
    fn has_frames(&self, map: u32, id: u64) -> bool;
    /// Makes the frames of a stack known: the map's value, empty where it was not there.
    fn add_frames(&mut self, map: u32, id: u64, frames: Vec<u8>);
    /// Nanoseconds of a clock in a format of strftime.
    fn timestamp(&mut self, format: &str, nanos: u64, clock: Clock) -> String;
    /// Paths of a cgroup under the hierarchies that match the filter, each with its hierarchy's name.
    fn cgroup_path(&mut self, id: u64, filter: Option<&str>) -> String;
    fn username(&mut self, uid: u64) -> String;
    /// Files that become readable when there is much to catch up with.
    fn fds(&self) -> Vec<RawFd> {
        Vec::new()
    }
    /// Takes note of what has happened on the machine. Called now and then, and whenever one of the files is readable.
    fn catch_up(&mut self) {}
    /// Put behind strings that filled their space.
    fn truncation_trailer(&self) -> &str;
}

/// Knows nothing but numbers: for tests, and for values that hold nothing to resolve.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unresolved;

impl Resolve for Unresolved {
    fn kernel_symbol(&mut self, address: u64) -> String {
        format!("{address:#x}")
    }

    fn user_symbol(&mut self, address: u64, _pid: u32, _program: u32) -> String {
        format!("{address:#x}")
    }

    fn stack(&mut self, _layout: &StackLayout, id: u64, _pid: u32) -> String {
        format!("\nstack {id}\n")
    }

    fn has_frames(&self, _map: u32, _id: u64) -> bool {
        true
    }

    fn add_frames(&mut self, _map: u32, _id: u64, _frames: Vec<u8>) {}

    fn timestamp(&mut self, _format: &str, nanos: u64, _clock: Clock) -> String {
        nanos.to_string()
    }

    fn cgroup_path(&mut self, id: u64, _filter: Option<&str>) -> String {
        id.to_string()
    }

    fn username(&mut self, uid: u64) -> String {
        uid.to_string()
    }

    fn truncation_trailer(&self) -> &str {
        ".."
    }
}
