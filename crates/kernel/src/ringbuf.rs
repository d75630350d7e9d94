//! The reader's side of a BPF ring buffer (Documentation/bpf/ringbuf.rst, kernel/bpf/ringbuf.c).
//!
//! The first page holds the position of the consumer, the second that of the producers; behind it lies the data, mapped twice
//! one behind the other so that a record never wraps. A record is a header of eight bytes, whose first word is the
//! length with two flags, and the data; the next begins at a multiple of eight.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;

use crate::sys::mem::{self, Mapping};

/// The record is not complete yet (`BPF_RINGBUF_BUSY_BIT`).
const BUSY: u32 = 1 << 31;
/// The record is to be skipped (`BPF_RINGBUF_DISCARD_BIT`).
const DISCARD: u32 = 1 << 30;
const HEADER: usize = 8;

/// The most and the fewest pages of a ring whose size is ours to choose.
const MOST_PAGES: usize = 4096;
const FEWEST_PAGES: usize = 64;
/// What a small machine gets. Its creation and mapping take well below a millisecond, where the most takes five.
const USUAL_PAGES: usize = 512;
const PAGES_PER_CPU: usize = 64;

#[derive(Debug)]
pub(crate) struct RingBuffer {
    consumer: Mapping,
    /// The producer's page and twice the data.
    data: Mapping,
    page: usize,
    mask: u64,
    /// Bytes that the last drain took.
    taken: u64,
}

impl RingBuffer {
    /// Maps the ring of a map that has `size` bytes of data, a power of two.
    pub(crate) fn new(map: BorrowedFd, size: usize) -> io::Result<RingBuffer> {
        let page = mem::page_size();
        Ok(RingBuffer {
            consumer: Mapping::new(map, page, 0, true)?,
            data: Mapping::new(map, page + 2 * size, page, false)?,
            page,
            mask: size as u64 - 1,
            taken: 0,
        })
    }

    /// Whether records come so fast that it pays to let some gather, and slowly enough that there is room for them.
    ///
    /// A producer wakes the reader, which costs it more than all else, whenever the reader has read everything. A reader that takes a
    /// short break after records is behind most of the time, and is woken once for hundreds of them.
    pub(crate) fn may_gather(&self) -> bool {
        self.taken > 0 && self.taken <= self.mask / 8
    }

    /// Gives every complete record to `sink` until it answers `false`. The answers are how many it got, and whether it may go on.
    ///
    /// Producers look at our position before every record: it is told to them now and then only, so that their
    /// processors do not have to fetch it each time.
    pub(crate) fn drain(&mut self, sink: &mut dyn FnMut(&[u8]) -> bool) -> (u64, bool) {
        let mut records = 0;
        let (Some(consumed), Some(produced)) = (self.consumer.u64_at(0), self.data.u64_at(0))
        else {
            return (0, true);
        };
        let often = (self.mask + 1) / 16;
        // Only this reader writes it.
        let mut told = consumed.load(Ordering::Relaxed);
        let start = told;
        let mut position = told;
        let mut go_on = true;
        // Acquire: the headers up to there are visible.
        while go_on && position < produced.load(Ordering::Acquire) {
            let offset = self.page + (position & self.mask) as usize;
            let Some(header) = self.data.u32_at(offset) else {
                break;
            };
            // Acquire: with the cleared flag comes the data.
            let header = header.load(Ordering::Acquire);
            if header & BUSY != 0 {
                break;
            }
            let len = (header & !(BUSY | DISCARD)) as usize;
            if header & DISCARD == 0 {
                // SAFETY: the record is complete, and no producer writes there before it is told that we have moved on.
                if let Some(record) = unsafe { self.data.bytes(offset + HEADER, len) } {
                    records += 1;
                    go_on = sink(record);
                }
            }
            position += (len + HEADER).next_multiple_of(8) as u64;
            if position - told >= often {
                told = position;
                // Release: our reads of the records are done.
                consumed.store(position, Ordering::Release);
            }
        }
        consumed.store(position, Ordering::Release);
        self.taken = position.wrapping_sub(start);
        (records, go_on)
    }
}

/// Bytes of a ring buffer: a power of two of pages, as asked for, or by the machine.
pub(crate) fn size(pages: Option<u64>, cpus: usize) -> u32 {
    let page = mem::page_size();
    let pages = match pages {
        Some(pages) => usize::try_from(pages).unwrap_or(usize::MAX).max(1),
        None => {
            let wanted = (cpus * PAGES_PER_CPU).clamp(USUAL_PAGES, MOST_PAGES);
            let affordable = mem::free_memory() / 256 / page;
            wanted.min(affordable).max(FEWEST_PAGES)
        }
    };
    let most = (1 << 30) / page;
    let bytes = pages.min(most).next_power_of_two() * page;
    u32::try_from(bytes).unwrap_or(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_a_power_of_two_of_pages() {
        let page = mem::page_size() as u32;
        assert_eq!(size(Some(0), 2), page);
        assert_eq!(size(Some(3), 2), 4 * page);
        assert_eq!(size(Some(u64::MAX), 2), 1 << 30);
        let chosen = size(None, 2);
        assert!(chosen.is_power_of_two());
        assert!(chosen >= 64 * page && chosen <= 512 * page, "{chosen}");
    }
}
