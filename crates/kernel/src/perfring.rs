//! The reader's side of a perf event's buffer (`struct perf_event_mmap_page` of include/uapi/linux/perf_event.h).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering;

use crate::sys::mem::{self, Mapping};
use crate::sys::perf;

/// Offsets in the control page.
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;
/// `struct perf_event_header`.
const HEADER: usize = 8;

/// A record of the buffer: its type and what is behind the header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PerfRecord<'a> {
    pub(crate) kind: u32,
    pub(crate) misc: u16,
    pub(crate) body: &'a [u8],
}

/// One event with its buffer.
#[derive(Debug)]
pub(crate) struct PerfRing {
    event: OwnedFd,
    mapping: Mapping,
    page: usize,
    size: usize,
    /// A record that wraps is put together here.
    scratch: Vec<u8>,
}

impl PerfRing {
    /// Maps the buffer of an event: `pages` of data, a power of two.
    pub(crate) fn new(event: OwnedFd, pages: usize) -> io::Result<PerfRing> {
        let page = mem::page_size();
        let size = pages.next_power_of_two() * page;
        let mapping = Mapping::new(event.as_fd(), page + size, 0, true)?;
        Ok(PerfRing {
            event,
            mapping,
            page,
            size,
            scratch: Vec::new(),
        })
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    pub(crate) fn enable(&self) -> io::Result<()> {
        perf::enable(self.event.as_fd())
    }

    /// Gives every record to `sink` until it answers `false`, which is also the answer then.
    pub(crate) fn drain(&mut self, sink: &mut dyn FnMut(PerfRecord) -> bool) -> bool {
        let (Some(head), Some(tail)) = (
            self.mapping.u64_at(DATA_HEAD),
            self.mapping.u64_at(DATA_TAIL),
        ) else {
            return true;
        };
        // Acquire: what lies before the head is written.
        let head = head.load(Ordering::Acquire);
        let mut position = tail.load(Ordering::Relaxed);
        while position < head {
            let at = (position % self.size as u64) as usize;
            let Some(word) = self.mapping.u64_at(self.page + at) else {
                break;
            };
            let header = word.load(Ordering::Relaxed).to_ne_bytes();
            let [k0, k1, k2, k3, m0, m1, s0, s1] = header;
            let len = usize::from(u16::from_ne_bytes([s0, s1]));
            if len < HEADER || len > self.size {
                position = head;
                break;
            }
            let first = len.min(self.size - at);
            // SAFETY: the kernel writes behind the head only, and never into what lies between the tail and the head.
            let (a, b) = unsafe {
                (
                    self.mapping.bytes(self.page + at, first),
                    self.mapping.bytes(self.page, len - first),
                )
            };
            let (Some(a), Some(b)) = (a, b) else { break };
            let whole = if b.is_empty() {
                a
            } else {
                self.scratch.clear();
                self.scratch.extend_from_slice(a);
                self.scratch.extend_from_slice(b);
                &self.scratch
            };
            let go_on = sink(PerfRecord {
                kind: u32::from_ne_bytes([k0, k1, k2, k3]),
                misc: u16::from_ne_bytes([m0, m1]),
                body: whole.get(HEADER..).unwrap_or_default(),
            });
            position += len as u64;
            if !go_on {
                // Release: our reads of the record are done.
                tail.store(position, Ordering::Release);
                return false;
            }
        }
        // Release: our reads of the records are done.
        tail.store(position, Ordering::Release);
        true
    }
}
