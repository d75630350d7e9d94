//! Ring buffers: records of any length, from many programs to one reader, in the order they were reserved.
//!
//! A record has a header of eight bytes in front (length and state, as in the kernel's `struct bpf_ringbuf_hdr`) and
//! takes a multiple of eight. The memory is twice the ring's size, so that every record that begins inside of the
//! ring lies in one piece; the bytes behind the ring are those of records that begin before its end only.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::slab::Slab;
use super::{MapSpec, Store, lock};
use crate::Errno;

const HEADER: u64 = 8;
/// The record is not finished.
const BUSY: u32 = 1 << 31;
/// The record is to be skipped.
const DISCARD: u32 = 1 << 30;
/// Longest record (`RINGBUF_MAX_RECORD_SZ`).
const MAX_RECORD: u64 = u32::MAX as u64 / 4;

/// The records of a ring buffer.
pub struct RingBuf {
    memory: Slab,
    size: u64,
    /// Where the next record begins, counted from the first ever.
    producer: Mutex<u64>,
    produced: AtomicU64,
    consumed: AtomicU64,
    reader: Mutex<()>,
    lost: AtomicU64,
}

impl RingBuf {
    pub(crate) fn new(spec: &MapSpec) -> Result<RingBuf, Errno> {
        let size = u64::from(spec.max_entries);
        Ok(RingBuf {
            memory: Slab::new(size as usize * 2, 1)?,
            size,
            producer: Mutex::new(0),
            produced: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
            reader: Mutex::new(()),
            lost: AtomicU64::new(0),
        })
    }

    fn header(&self, position: u64) -> &AtomicU32 {
        let at = self.memory.at(0, (position % self.size) as usize);
        // SAFETY: records begin at multiples of eight, and only atomic operations touch their headers.
        unsafe { AtomicU32::from_ptr(at.cast().as_ptr()) }
    }

    /// Makes room for a record of `len` bytes; gives the address of its first.
    pub(crate) fn reserve(&self, len: u64) -> Option<u64> {
        let total = (len + HEADER).next_multiple_of(8);
        if len > MAX_RECORD || total > self.size {
            return None;
        }
        let mut producer = lock(&self.producer);
        let position = *producer;
        let end = position + total;
        if end - self.consumed.load(Ordering::Acquire) > self.size - 1 {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.header(position)
            .store(len as u32 | BUSY, Ordering::Relaxed);
        *producer = end;
        self.produced.store(end, Ordering::Release);
        let at = (position % self.size + HEADER) as usize;
        Some(self.memory.at(0, at).as_ptr() as u64)
    }

    /// Finishes the record whose first byte is at `address`, as [`RingBuf::reserve`] gave it.
    pub(crate) fn commit(&self, address: u64, discard: bool) -> Result<(), Errno> {
        let base = self.memory.at(0, 0).as_ptr() as u64;
        let position = address
            .checked_sub(base + HEADER)
            .filter(|p| p % 8 == 0 && *p < self.size)
            .ok_or(Errno::INVAL)?;
        let header = self.header(position);
        let len = header.load(Ordering::Relaxed);
        if len & BUSY == 0 {
            return Err(Errno::INVAL);
        }
        let state = if discard { DISCARD } else { 0 };
        header.store(len & !BUSY | state, Ordering::Release);
        Ok(())
    }

    /// Adds a whole record.
    pub(crate) fn output(&self, record: &[u8]) -> Result<(), Errno> {
        let address = self.reserve(record.len() as u64).ok_or(Errno::AGAIN)?;
        let base = self.memory.at(0, 0).as_ptr() as u64;
        self.memory.write(0, (address - base) as usize, record);
        self.commit(address, false)
    }

    /// Gives all finished records to `sink`, in order, until it answers `false` or an unfinished one comes.
    pub fn drain(&self, sink: &mut dyn FnMut(&[u8]) -> bool) -> u64 {
        let _one_reader = lock(&self.reader);
        let mut given = 0;
        loop {
            let position = self.consumed.load(Ordering::Relaxed);
            let produced = self.produced.load(Ordering::Acquire);
            if position == produced {
                return given;
            }
            let header = self.header(position).load(Ordering::Acquire);
            if header & BUSY != 0 {
                return given;
            }
            let len = u64::from(header & !DISCARD);
            let end = position + (len + HEADER).next_multiple_of(8);
            if end > produced {
                // An unverified program wrote over the header: what lies behind it cannot be found.
                self.lost.fetch_add(1, Ordering::Relaxed);
                self.consumed.store(produced, Ordering::Release);
                return given;
            }
            let mut go_on = true;
            if header & DISCARD == 0 {
                let at = (position % self.size + HEADER) as usize;
                let start = self.memory.at(0, at);
                // SAFETY: the record is finished, in one piece, and its room is not given away before `consumed`
                // passes it.
                let record = unsafe { std::slice::from_raw_parts(start.as_ptr(), len as usize) };
                given += 1;
                go_on = sink(record);
            }
            self.consumed.store(end, Ordering::Release);
            if !go_on {
                return given;
            }
        }
    }

    /// Records that found no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// What `bpf_ringbuf_query` answers: bytes to read, size, consumer's and producer's positions.
    pub(crate) fn query(&self, flags: u64) -> u64 {
        let consumed = self.consumed.load(Ordering::Acquire);
        let produced = self.produced.load(Ordering::Acquire);
        match flags {
            0 => produced - consumed,
            1 => self.size,
            2 => consumed,
            3 => produced,
            _ => 0,
        }
    }
}

impl Store for RingBuf {
    fn ring(&self) -> Option<&RingBuf> {
        Some(self)
    }

    fn contains(&self, address: u64, size: u64) -> bool {
        self.memory.contains(address, size, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::MapType;

    fn ring() -> RingBuf {
        RingBuf::new(&MapSpec::new(MapType::RingBuf, 0, 0, 4096)).expect("made")
    }

    fn drained(ring: &RingBuf) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        ring.drain(&mut |record| {
            out.push(record.to_vec());
            true
        });
        out
    }

    #[test]
    fn records_come_in_the_order_of_their_reservation() {
        let ring = ring();
        let first = ring.reserve(3).expect("room");
        let second = ring.reserve(5).expect("room");
        assert_eq!(ring.output(b"third"), Ok(()));
        assert_eq!(ring.commit(second, true), Ok(()));
        assert_eq!(drained(&ring), Vec::<Vec<u8>>::new());
        assert_eq!(ring.commit(first, false), Ok(()));
        assert_eq!(drained(&ring), [vec![0, 0, 0], b"third".to_vec()]);
        assert_eq!(ring.commit(first, false), Err(Errno::INVAL));
    }

    #[test]
    fn a_full_ring_counts_what_it_lost() {
        let ring = ring();
        let record = [7; 1000];
        let fit = (0..10).filter(|_| ring.output(&record).is_ok()).count();
        assert_eq!((fit, ring.lost()), (4, 6));
        assert_eq!(drained(&ring), vec![record.to_vec(); 4]);
    }

    #[test]
    fn records_that_cross_the_end_are_whole() {
        let ring = ring();
        for n in 0..100u32 {
            let record = vec![n as u8; 900 + n as usize];
            assert_eq!(ring.output(&record), Ok(()));
            assert_eq!(drained(&ring), [record]);
        }
    }

    #[test]
    fn a_reader_runs_beside_writers() {
        let ring = ring();
        let mut seen = 0;
        std::thread::scope(|scope| {
            for t in 0..2u8 {
                let ring = &ring;
                scope.spawn(move || {
                    for _ in 0..500 {
                        while ring.output(&[t; 40]).is_err() {
                            std::thread::yield_now();
                        }
                    }
                });
            }
            while seen < 1000 {
                seen += ring.drain(&mut |r| {
                    assert!(r.iter().all(|b| *b == r[0]) && r.len() == 40);
                    true
                });
                std::thread::yield_now();
            }
        });
        assert_eq!(seen, 1000);
    }
}
