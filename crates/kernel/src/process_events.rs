//! What processes do to their address spaces: so that stacks of processes that have ended can still be given names.
//!
//! The kernel writes such records into the buffers of perf events (`PERF_RECORD_MMAP2` and its like in
//! include/uapi/linux/perf_event.h). Each is asked to carry its time, as the last eight bytes.

use std::ffi::OsStr;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use beetrace_engine::Error;

use crate::caps;
use crate::perfring::{PerfRecord, PerfRing};
use crate::sys::perf::{self, EventAttr, Scope, flag};
use crate::system;

/// Record types.
const LOST: u32 = 2;
const COMM: u32 = 3;
const EXIT: u32 = 4;
const FORK: u32 = 7;
const MMAP2: u32 = 10;
/// In `misc`: the name changed because of an exec.
const COMM_EXEC: u16 = 1 << 13;

/// Pages of each processor's buffer.
const PAGES: usize = 16;

/// Something that a process did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// `parent` made the process `pid`, which begins with the same mappings.
    Fork {
        pid: u32,
        parent: u32,
    },
    /// It became another program: all mappings before are gone.
    Exec {
        pid: u32,
        comm: String,
    },
    /// It mapped a file (or `[vdso]`, `//anon`) as code.
    Map(Mapped),
    Exit {
        pid: u32,
    },
}

/// A mapping of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    pub pid: u32,
    pub address: u64,
    /// In bytes.
    pub len: u64,
    /// Where in the file it begins.
    pub offset: u64,
    pub inode: u64,
    pub path: PathBuf,
}

/// A subscription to the events of one process and its children, or of all.
///
/// ```no_run
/// let mut events = beetrace_kernel::ProcessEvents::open(None)?;
/// events.drain(&mut |event| println!("{event:?}"));
/// # Ok::<(), beetrace_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct ProcessEvents {
    rings: Vec<PerfRing>,
    lost: u64,
}

impl ProcessEvents {
    /// From now on events are kept, as many as the buffers hold, until they are drained.
    pub fn open(pid: Option<u32>) -> Result<ProcessEvents, Error> {
        let attr = EventAttr {
            kind: perf::kind::SOFTWARE,
            config: perf::software::DUMMY,
            sample_period: 1,
            sample_type: perf::SAMPLE_TIME,
            flags: flag::MMAP
                | flag::MMAP2
                | flag::COMM
                | flag::COMM_EXEC
                | flag::TASK
                | flag::SAMPLE_ID_ALL
                | flag::WATERMARK
                | pid.map_or(0, |_| flag::INHERIT),
            // Half a buffer wakes a waiter.
            wakeup: (PAGES * crate::sys::mem::page_size() / 2) as u32,
            ..Default::default()
        };
        let rings = system::online_cpus()
            .into_iter()
            .map(|cpu| {
                let scope = match pid {
                    Some(pid) => Scope::TaskOnCpu(pid, cpu),
                    None => Scope::Cpu(cpu),
                };
                PerfRing::new(perf::open(attr, None, scope)?, PAGES)
            })
            .collect::<std::io::Result<Vec<PerfRing>>>()
            .map_err(|error| caps::perf_error("watching processes".into(), error))?;
        Ok(ProcessEvents { rings, lost: 0 })
    }

    /// Files that become readable when there is much to drain.
    pub fn fds(&self) -> impl Iterator<Item = RawFd> + '_ {
        self.rings.iter().map(PerfRing::raw_fd)
    }

    /// Gives all events so far in the order of their time.
    pub fn drain(&mut self, sink: &mut dyn FnMut(ProcessEvent)) {
        let mut events = Vec::new();
        let lost = &mut self.lost;
        for ring in &mut self.rings {
            ring.drain(&mut |record| {
                if record.kind == LOST {
                    *lost += Fields(record.body)
                        .skip(8)
                        .and_then(|mut f| f.u64())
                        .unwrap_or(0);
                } else if let Some(event) = read(record) {
                    events.push(event);
                }
                true
            });
        }
        events.sort_by_key(|(time, _)| *time);
        for (_, event) in events {
            sink(event);
        }
    }

    /// Events that found no room.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

/// The event and its time in nanoseconds.
fn read(record: PerfRecord) -> Option<(u64, ProcessEvent)> {
    let (body, time) = record.body.split_last_chunk::<8>()?;
    let mut fields = Fields(body);
    let event = match record.kind {
        FORK => {
            let (pid, parent) = (fields.u32()?, fields.u32()?);
            // A thread has the process for its parent.
            (pid != parent).then_some(ProcessEvent::Fork { pid, parent })?
        }
        EXIT => {
            let (pid, _, thread) = (fields.u32()?, fields.u32()?, fields.u32()?);
            (pid == thread).then_some(ProcessEvent::Exit { pid })?
        }
        COMM if record.misc & COMM_EXEC != 0 => {
            let pid = fields.u32()?;
            let comm = fields.skip(4)?.text();
            ProcessEvent::Exec {
                pid,
                comm: String::from_utf8_lossy(comm).into_owned(),
            }
        }
        MMAP2 => {
            let pid = fields.u32()?;
            let mut fields = fields.skip(4)?;
            let (address, len, offset) = (fields.u64()?, fields.u64()?, fields.u64()?);
            let mut fields = fields.skip(8)?;
            let inode = fields.u64()?;
            let path = fields.skip(16)?.text();
            ProcessEvent::Map(Mapped {
                pid,
                address,
                len,
                offset,
                inode,
                path: OsStr::from_bytes(path).into(),
            })
        }
        _ => return None,
    };
    Some((u64::from_ne_bytes(*time), event))
}

/// The fields of a record, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn u32(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_ne_bytes(*word))
    }

    fn u64(&mut self) -> Option<u64> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_ne_bytes(*word))
    }

    fn skip(self, bytes: usize) -> Option<Fields<'a>> {
        self.0.get(bytes..).map(Fields)
    }

    /// A string up to its NUL.
    fn text(self) -> &'a [u8] {
        self.0.split(|b| *b == 0).next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_read() {
        let body = [
            &7_u32.to_ne_bytes()[..],
            &8_u32.to_ne_bytes(),
            &0x1000_u64.to_ne_bytes(),
            &0x2000_u64.to_ne_bytes(),
            &0x3000_u64.to_ne_bytes(),
            &[0; 8],
            &99_u64.to_ne_bytes(),
            &[0; 16],
            b"/bin/x\0\0",
            &5_u64.to_ne_bytes(),
        ]
        .concat();
        let record = |body| PerfRecord {
            kind: MMAP2,
            misc: 0,
            body,
        };
        let mapped = Mapped {
            pid: 7,
            address: 0x1000,
            len: 0x2000,
            offset: 0x3000,
            inode: 99,
            path: "/bin/x".into(),
        };
        assert_eq!(read(record(&body)), Some((5, ProcessEvent::Map(mapped))));
        assert_eq!(read(record(&body[..20])), None);
    }
}
