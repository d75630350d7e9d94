//! One map of the kernel: creation, values, iteration.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use beetrace_engine::Entry;
use beetrace_object::MapKind;

use crate::sys::attr;
use crate::sys::{ENOTSUPP, bpf, errno};

/// The key must be there (`BPF_EXIST`).
const EXIST: u64 = 2;
/// How many entries a batch asks for at first; a bucket of the kernel's hash that has more makes it ask again for twice as many.
const BATCH: usize = 256;
/// Bytes that one batch may take.
const BATCH_BYTES: usize = 4 << 20;

/// What a map is created from.
#[derive(Clone, Debug)]
pub(crate) struct Definition<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: MapKind,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    /// `BPF_F_*` of `bpf_attr.map_flags`.
    pub(crate) flags: u32,
    /// See [`beetrace_object::Map::presence`].
    pub(crate) presence: Option<u32>,
}

/// A map and what its keys and values are like.
#[derive(Debug)]
pub(crate) struct Map {
    fd: OwnedFd,
    kind: MapKind,
    key_size: usize,
    /// Bytes that a lookup gives: for a per-CPU map those of all processors.
    value_bytes: usize,
    max_entries: u32,
    /// Where each processor's value says whether it is set, and how long one value is.
    presence: Option<Presence>,
}

#[derive(Clone, Copy, Debug)]
struct Presence {
    offset: usize,
    value: usize,
}

impl Presence {
    /// The values without their words of presence, `None` where no processor set its own.
    fn strip(self, values: &[u8]) -> Option<Vec<u8>> {
        let parts = values
            .chunks(self.value.max(1))
            .map(|value| value.split_at(self.offset.min(value.len())));
        let (values, words): (Vec<&[u8]>, Vec<&[u8]>) = parts.unzip();
        words
            .concat()
            .iter()
            .any(|byte| *byte != 0)
            .then(|| values.concat())
    }

    /// The same values with all zero but the words of presence.
    fn zeroed(self, mut values: Vec<u8>) -> Vec<u8> {
        for value in values.chunks_mut(self.value.max(1)) {
            let end = self.offset.min(value.len());
            value[..end].fill(0);
        }
        values
    }
}

impl Map {
    pub(crate) fn create(definition: &Definition, cpus: usize) -> io::Result<Map> {
        let mut attr = attr::MapCreate {
            map_type: definition.kind as u32,
            key_size: definition.key_size,
            value_size: definition.value_size,
            max_entries: definition.max_entries,
            map_flags: definition.flags,
            map_name: bpf::object_name(&kernel_name(definition.name)),
            ..Default::default()
        };
        let fd = bpf::map_create(&mut attr)?;
        let value = definition.value_size as usize;
        let value_bytes = if definition.kind.is_per_cpu() {
            value.next_multiple_of(8).saturating_mul(cpus)
        } else {
            value
        };
        Ok(Map {
            fd,
            kind: definition.kind,
            key_size: definition.key_size as usize,
            value_bytes,
            max_entries: definition.max_entries,
            presence: definition.presence.map(|offset| Presence {
                offset: offset as usize,
                value: value.next_multiple_of(8),
            }),
        })
    }

    pub(crate) fn max_entries(&self) -> u32 {
        self.max_entries
    }

    /// One value.
    pub(crate) fn lookup(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let value = self.lookup_whole(key)?;
        Ok(match self.presence {
            Some(presence) => value.and_then(|v| presence.strip(&v)),
            None => value,
        })
    }

    fn lookup_whole(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.check_key(key)?;
        let mut value = vec![0; self.value_bytes];
        // SAFETY: both are as long as the map's.
        match unsafe { bpf::map_lookup(self.as_fd(), key, &mut value) } {
            Ok(()) => Ok(Some(value)),
            Err(error) if errno(&error) == libc::ENOENT => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets one value; `value` is filled up with zeros to the map's size.
    pub(crate) fn set(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.check_key(key)?;
        let mut padded;
        let value = if value.len() == self.value_bytes {
            value
        } else if value.len() < self.value_bytes {
            padded = value.to_vec();
            padded.resize(self.value_bytes, 0);
            &padded
        } else {
            return Err(invalid("the value is too long"));
        };
        // SAFETY: both are as long as the map's.
        unsafe { bpf::map_update(self.as_fd(), key, value, 0) }
    }

    pub(crate) fn freeze(&self) -> io::Result<()> {
        bpf::map_freeze(self.as_fd())
    }

    /// Whether the kernel reads entries of such a map in batches.
    pub(crate) fn has_batches(&self) -> bool {
        self.entries_in_batches().is_ok()
    }

    /// All entries, in no order. A key that is added or deleted meanwhile may be there or not.
    pub(crate) fn entries(&self) -> io::Result<Vec<Entry>> {
        if self.presence.is_some() {
            let key = vec![0; self.key_size];
            let value = self.lookup(&key)?;
            return Ok(value
                .map(|value| Entry { key, value })
                .into_iter()
                .collect());
        }
        match self.entries_in_batches() {
            Err(error) if has_no_batches(&error) => self.entries_one_by_one(),
            result => result,
        }
    }

    /// Deletes all keys of a hash; sets all values of an array to zero.
    pub(crate) fn clear(&self) -> io::Result<()> {
        if !self.kind.is_hash() {
            return self.set_all(|_| vec![0; self.value_bytes]);
        }
        let keys: Vec<Vec<u8>> = self.entries()?.into_iter().map(|e| e.key).collect();
        let flat: Vec<u8> = keys.concat();
        // SAFETY: `flat` holds that many keys.
        let (result, done) =
            unsafe { bpf::map_change_batch(self.as_fd(), &flat, None, keys.len(), 0) };
        if result.is_ok() || keys.is_empty() {
            return Ok(());
        }
        // Another deleted one of them meanwhile, or the kernel knows no batches.
        for key in keys.iter().skip(done) {
            // SAFETY: the key came from the map.
            match unsafe { bpf::map_delete(self.as_fd(), key) } {
                Err(error) if errno(&error) != libc::ENOENT => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Sets all values to zero.
    pub(crate) fn zero(&self) -> io::Result<()> {
        let zero = || vec![0; self.value_bytes];
        self.set_all(|key| match self.presence {
            Some(presence) => match self.lookup_whole(key) {
                Ok(Some(values)) => presence.zeroed(values),
                _ => zero(),
            },
            None => zero(),
        })
    }

    fn set_all(&self, value: impl Fn(&[u8]) -> Vec<u8>) -> io::Result<()> {
        let keys: Vec<Vec<u8>> = if self.kind.is_hash() {
            self.entries()?.into_iter().map(|e| e.key).collect()
        } else {
            (0..self.max_entries)
                .map(|i| i.to_ne_bytes().to_vec())
                .collect()
        };
        for key in &keys {
            self.check_key(key)?;
            // SAFETY: both are as long as the map's.
            match unsafe { bpf::map_update(self.as_fd(), key, &value(key), EXIST) } {
                Err(error) if errno(&error) != libc::ENOENT => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn entries_in_batches(&self) -> io::Result<Vec<Entry>> {
        let largest = (BATCH_BYTES / (self.key_size + self.value_bytes).max(1)).max(1);
        let mut count = BATCH.min(largest).min(self.max_entries.max(1) as usize);
        let mut cursor = vec![0; self.key_size.max(4)];
        let mut next = cursor.clone();
        let mut is_first = true;
        let mut entries = Vec::new();
        let mut keys = vec![0; count * self.key_size];
        let mut values = vec![0; count * self.value_bytes];
        loop {
            // SAFETY: the buffers hold `count` keys and values, and the cursors a key or four bytes.
            let batch = unsafe {
                bpf::map_lookup_batch(
                    self.as_fd(),
                    (!is_first).then_some(&cursor),
                    &mut next,
                    &mut keys,
                    &mut values,
                    count,
                )
            };
            let is_last = match batch.result {
                Ok(()) => false,
                Err(error) if errno(&error) == libc::ENOENT => true,
                Err(error) if errno(&error) == libc::ENOSPC => {
                    count = count.saturating_mul(2);
                    if count > self.max_entries.max(BATCH as u32) as usize * 2 {
                        return Err(error);
                    }
                    keys.resize(count * self.key_size, 0);
                    values.resize(count * self.value_bytes, 0);
                    continue;
                }
                Err(error) => return Err(error),
            };
            entries.extend(
                keys.chunks_exact(self.key_size.max(1))
                    .zip(values.chunks_exact(self.value_bytes.max(1)))
                    .take(batch.count)
                    .map(|(key, value)| Entry {
                        key: key.to_vec(),
                        value: value.to_vec(),
                    }),
            );
            if is_last {
                return Ok(entries);
            }
            is_first = false;
            std::mem::swap(&mut cursor, &mut next);
        }
    }

    fn entries_one_by_one(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut key: Option<Vec<u8>> = None;
        let mut next = vec![0; self.key_size];
        // A key that is deleted under the walk makes it begin again: the map's own size is a bound.
        for _ in 0..self.max_entries.saturating_mul(2) {
            // SAFETY: both are as long as the map's keys.
            match unsafe { bpf::map_next_key(self.as_fd(), key.as_deref(), &mut next) } {
                Ok(()) => {}
                Err(error) if errno(&error) == libc::ENOENT => break,
                Err(error) => return Err(error),
            }
            if let Some(value) = self.lookup(&next)? {
                entries.push(Entry {
                    key: next.clone(),
                    value,
                });
            }
            key = Some(next.clone());
        }
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        entries.dedup_by(|a, b| a.key == b.key);
        Ok(entries)
    }

    fn check_key(&self, key: &[u8]) -> io::Result<()> {
        if key.len() == self.key_size {
            Ok(())
        } else {
            Err(invalid("the key has another size than the map's keys"))
        }
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The kernel takes no `@`: `@x` becomes `AT_x`.
fn kernel_name(name: &str) -> String {
    match name.strip_prefix('@') {
        Some(rest) => format!("AT_{rest}"),
        None => name.to_owned(),
    }
}

fn has_no_batches(error: &io::Error) -> bool {
    matches!(
        errno(error),
        libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP | ENOTSUPP
    )
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
