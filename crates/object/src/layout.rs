//! How a value lies in memory, so that user space can print it.
//!
//! All numbers are in the machine's own byte order. Padding bytes are zero wherever the value is part of a map key.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The type of a value in a map or a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Layout {
    /// No bytes at all: the key of a map without keys, an empty tuple.
    Unit,
    /// One byte, 0 or 1.
    Bool,
    /// `size` is 1, 2, 4 or 8.
    Int {
        size: u8,
        signed: bool,
    },
    Enum(Arc<EnumLayout>),
    /// 8 bytes, printed in hexadecimal. `to` is the C name of what it points to.
    Pointer {
        to: Arc<str>,
    },
    /// A string: `size` bytes, ended by NUL unless full and zero behind it.
    Str {
        size: u32,
    },
    /// A `u32` length, then up to `capacity` bytes; the whole is `4 + capacity` bytes.
    Buf {
        capacity: u32,
    },
    Array {
        of: Box<Layout>,
        len: u32,
    },
    /// Elements at the offsets of a C struct of the same members.
    Tuple(Arc<Aggregate>),
    /// The same with names.
    Record(Arc<Aggregate>),
    /// A C struct or union.
    Struct(Arc<Aggregate>),
    /// `u64` address of the kernel.
    Ksym,
    /// 16 bytes: `u64` address, `u32` process, `u32` index of the program that took it.
    Usym,
    /// 16 bytes: see [`StackLayout`].
    Stack(StackLayout),
    /// 20 bytes: `u32` address family, then 16 bytes of address (an IPv4 address fills the first four).
    Inet,
    /// 6 bytes.
    Mac,
    /// 16 bytes: `u64` nanoseconds, `u32` [`Clock`], `u32` zero. The format is strftime's, with `%f` for microseconds.
    Timestamp {
        format: Arc<str>,
    },
    /// `u64` cgroup id, printed as its path under hierarchies that match `filter`.
    CgroupPath {
        filter: Option<Arc<str>>,
    },
    /// `u64` user id, printed as the user's name.
    Username,
    /// One `u64` a processor: calls counted.
    Count,
    /// One 8-byte number a processor.
    Sum {
        signed: bool,
    },
    /// 16 bytes a processor: the number, then a `u64` that is not zero once it is set.
    Min {
        signed: bool,
    },
    Max {
        signed: bool,
    },
    /// 16 bytes a processor: the total, then a `u64` count. Printed as average, or as count, average and total.
    Avg {
        signed: bool,
    },
    Stats {
        signed: bool,
    },
    /// `u64` counters, [`Histogram::buckets`] of them a processor.
    Hist(Histogram),
    /// See [`TimeSeries`].
    TSeries(TimeSeries),
}

/// A named constant type of C.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnumLayout {
    pub name: String,
    pub size: u8,
    pub signed: bool,
    /// Values as 64-bit patterns (sign-extended where signed), in the order of the definition.
    pub variants: Vec<(u64, String)>,
}

/// Members at offsets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// The C tag; empty for tuples, records and anonymous types.
    pub name: String,
    pub size: u32,
    pub members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Empty for a tuple's.
    pub name: String,
    /// In bytes.
    pub offset: u32,
    pub layout: Layout,
    pub bits: Option<BitField>,
}

/// A bit field: `width` bits from bit `shift` of the little-endian number at the member's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BitField {
    pub shift: u32,
    pub width: u32,
}

/// A stack value is 16 bytes: `u64` id, `u32` process id (zero for a kernel stack), `u32` frames.
/// The id finds the frames, see [`StackLayout::place`]; an id of `u64::MAX` says that the stack could not be taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StackLayout {
    pub user: bool,
    pub mode: StackMode,
    /// The most frames that are taken.
    pub limit: u32,
    /// The map that holds the frames, by its index in `Object::maps`.
    pub frames: u32,
}

impl StackLayout {
    /// Where the frames of an id are: the map's index in `Object::maps`, and the key. Ids with the highest bit are keys of the
    /// hash behind the map of stacks, which keeps the stacks whose bucket another had taken.
    pub fn place(&self, id: u64) -> (u32, Vec<u8>) {
        if id >> 63 == 0 {
            (self.frames, (id as u32).to_ne_bytes().to_vec())
        } else {
            (self.frames.saturating_add(1), id.to_ne_bytes().to_vec())
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StackMode {
    #[default]
    Bpftrace,
    Perf,
    Raw,
    BuildId,
}

/// The clocks of `nsecs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Clock {
    Monotonic = 0,
    #[default]
    Boot = 1,
    Tai = 2,
    SwTai = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Histogram {
    /// Powers of two, each cut into `1 << bits` parts. Bucket 0 counts negative numbers, bucket 1 zero; see [`log2_bucket`].
    Log2 { bits: u8 },
    /// Bucket 0 counts what is below `min`, the last what is at or above `max`, the others `step` each.
    Linear { min: i64, max: i64, step: i64 },
}

impl Histogram {
    /// How many counters there are.
    pub fn buckets(self) -> u32 {
        match self {
            Histogram::Log2 { bits } => log2_bucket(i64::MAX, bits) + 1,
            Histogram::Linear { min, max, step } => {
                let span = (i128::from(max) - i128::from(min)).max(0);
                let inner = span.checked_div(i128::from(step)).unwrap_or(0);
                u32::try_from(inner).unwrap_or(u32::MAX - 2) + 2
            }
        }
    }
}

/// The bucket of `n` in a log2 histogram: 0 for negative numbers; below `1 << bits` one bucket each, from 1 on;
/// above, `1 << bits` buckets for every power of two.
pub fn log2_bucket(n: i64, bits: u8) -> u32 {
    if n < 0 {
        return 0;
    }
    let n = n as u64;
    let bits = u32::from(bits);
    if n < 1 << bits {
        return n as u32 + 1;
    }
    let power = 63 - n.leading_zeros();
    let shift = power - bits;
    let within = (n >> shift) as u32 - (1 << bits);
    1 + ((shift + 1) << bits) + within
}

/// A series of `buckets` intervals, each `interval` nanoseconds, kept a processor as a ring of 32-byte entries:
/// `u64` epoch (time divided by the interval), `i64` value, `u64` meta (the count for `Avg`; the time of the newest value
/// where `aggregate` is `None`; otherwise not zero once set), `u64` zero.
/// The entry of an epoch is `epoch % buckets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimeSeries {
    pub interval: u64,
    pub buckets: u32,
    pub aggregate: Option<SeriesAggregate>,
    pub signed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SeriesAggregate {
    Avg,
    Max,
    Min,
    Sum,
}

impl Layout {
    /// Size in bytes; for values kept a processor, the size of one processor's.
    pub fn size(&self) -> u32 {
        match self {
            Layout::Unit => 0,
            Layout::Bool => 1,
            Layout::Int { size, .. } => u32::from(*size),
            Layout::Enum(e) => u32::from(e.size),
            Layout::Pointer { .. }
            | Layout::Ksym
            | Layout::CgroupPath { .. }
            | Layout::Username => 8,
            Layout::Str { size } => *size,
            Layout::Buf { capacity } => capacity.saturating_add(4),
            Layout::Array { of, len } => of.size().saturating_mul(*len),
            Layout::Tuple(a) | Layout::Record(a) | Layout::Struct(a) => a.size,
            Layout::Usym | Layout::Stack(_) | Layout::Timestamp { .. } => 16,
            Layout::Inet => 20,
            Layout::Mac => 6,
            Layout::Count | Layout::Sum { .. } => 8,
            Layout::Min { .. } | Layout::Max { .. } | Layout::Avg { .. } | Layout::Stats { .. } => {
                16
            }
            Layout::Hist(h) => h.buckets().saturating_mul(8),
            Layout::TSeries(t) => t.buckets.saturating_mul(32),
        }
    }

    /// Alignment in bytes: 1, 2, 4 or 8.
    pub fn align(&self) -> u32 {
        match self {
            Layout::Unit | Layout::Bool | Layout::Str { .. } | Layout::Mac => 1,
            Layout::Int { size, .. } => u32::from(*size).max(1),
            Layout::Enum(e) => u32::from(e.size).max(1),
            Layout::Buf { .. } | Layout::Inet => 4,
            Layout::Array { of, .. } => of.align(),
            Layout::Tuple(a) | Layout::Record(a) => a
                .members
                .iter()
                .map(|m| m.layout.align())
                .max()
                .unwrap_or(1),
            // A C struct may be packed or over-aligned: eight always serves.
            _ => 8,
        }
    }

    /// Whether a value is the sum of what every processor kept for itself.
    pub fn is_aggregate(&self) -> bool {
        matches!(
            self,
            Layout::Count
                | Layout::Sum { .. }
                | Layout::Min { .. }
                | Layout::Max { .. }
                | Layout::Avg { .. }
                | Layout::Stats { .. }
                | Layout::Hist(_)
                | Layout::TSeries(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log2_buckets_are_dense_and_ordered() {
        for bits in 0..=5 {
            assert_eq!(log2_bucket(-1, bits), 0);
            let mut last = 0;
            for n in 0..5000 {
                let b = log2_bucket(n, bits);
                assert!(
                    b == last || b == last + 1,
                    "bits {bits} n {n}: {last} -> {b}"
                );
                last = b;
            }
        }
        assert_eq!(
            [0, 1, 2, 3, 4, 8].map(|n| log2_bucket(n, 0)),
            [1, 2, 3, 3, 4, 5]
        );
    }

    #[test]
    fn a_linear_histogram_has_two_outer_buckets() {
        assert_eq!(
            Histogram::Linear {
                min: 0,
                max: 100,
                step: 10
            }
            .buckets(),
            12
        );
    }
}
