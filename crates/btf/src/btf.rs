//! A BTF and the index that finds its types.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use memchr::memmem;

use crate::raw::{Head, Kind, Record, parse_header};
use crate::source::{self, Data};
use crate::types::Type;
use crate::{BtfError, TypeId};

/// Every so many types the index holds an offset. The types between are walked to.
const STRIDE: usize = 16;

/// The types of a kernel, a module or a program.
///
/// Opening looks at the header only. The first use of a type walks once over all of them to
/// find where they start; names are searched in the data and remembered.
pub struct Btf {
    data: Data,
    types: std::ops::Range<usize>,
    strings: std::ops::Range<usize>,
    base: Option<Arc<Btf>>,
    index: OnceLock<Index>,
    /// The first type with a kind and name, as far as asked for.
    found: Mutex<Found>,
}

type Found = HashMap<(Kind, Box<str>), Option<TypeId>>;

/// Where types start.
struct Index {
    /// Offset into the type section of every `STRIDE`th type.
    offsets: Vec<u32>,
    /// Number of types that are well-formed.
    count: u32,
    /// What is wrong behind the last of them.
    end: Option<Flaw>,
}

/// The part of an error that an index keeps, as errors cannot be copied.
#[derive(Clone, Copy)]
enum Flaw {
    Truncated,
    Kind { id: TypeId, kind: u8 },
}

impl From<Flaw> for BtfError {
    fn from(flaw: Flaw) -> BtfError {
        match flaw {
            Flaw::Truncated => BtfError::Truncated("a type"),
            Flaw::Kind { id, kind } => BtfError::Kind { id, kind },
        }
    }
}

impl Btf {
    /// Where the running kernel shows its types, since Linux 5.4 built with `CONFIG_DEBUG_INFO_BTF`.
    pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

    /// Opens BTF that is in memory.
    ///
    /// # Errors
    /// If the header is wrong. Types are looked at when they are used.
    pub fn parse(data: impl Into<Cow<'static, [u8]>>) -> Result<Btf, BtfError> {
        Btf::new(Data::Bytes(data.into()), None)
    }

    /// Opens the BTF of a kernel module, whose types and strings continue those of `base`.
    ///
    /// # Errors
    /// As [`Btf::parse`].
    pub fn parse_split(
        base: Arc<Btf>,
        data: impl Into<Cow<'static, [u8]>>,
    ) -> Result<Btf, BtfError> {
        Btf::new(Data::Bytes(data.into()), Some(base))
    }

    /// Opens a file of raw BTF, such as [`Btf::VMLINUX`], without reading it where it can be mapped.
    ///
    /// # Errors
    /// If the file cannot be read or does not start with the header of BTF.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Btf, BtfError> {
        Btf::new(source::open(path.as_ref())?, None)
    }

    /// Opens a file of raw split BTF, such as `/sys/kernel/btf/nf_tables`.
    ///
    /// # Errors
    /// As [`Btf::from_file`].
    pub fn split_from_file(base: Arc<Btf>, path: impl AsRef<Path>) -> Result<Btf, BtfError> {
        Btf::new(source::open(path.as_ref())?, Some(base))
    }

    fn new(data: Data, base: Option<Arc<Btf>>) -> Result<Btf, BtfError> {
        let sections = parse_header(&data)?;
        Ok(Btf {
            data,
            types: sections.types,
            strings: sections.strings,
            base,
            index: OnceLock::new(),
            found: Mutex::default(),
        })
    }

    /// The BTF that this one continues.
    pub fn base(&self) -> Option<&Arc<Btf>> {
        self.base.as_ref()
    }

    /// The data as it was opened, header included.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    fn type_section(&self) -> &[u8] {
        self.data.get(self.types.clone()).unwrap_or_default()
    }

    fn string_section(&self) -> &[u8] {
        self.data.get(self.strings.clone()).unwrap_or_default()
    }

    /// Id of the first type of this BTF itself: 1, or behind those of the base.
    pub fn first_id(&self) -> TypeId {
        match &self.base {
            Some(base) => base.end_id(),
            None => TypeId(1),
        }
    }

    /// The id behind the last type. Types that are malformed, and all behind them, do not count.
    pub fn end_id(&self) -> TypeId {
        TypeId(self.first_id().0.saturating_add(self.index().count))
    }

    /// Walks over all types once and says what is wrong with the first malformed one.
    ///
    /// # Errors
    /// [`BtfError::Kind`] or [`BtfError::Truncated`].
    pub fn check(&self) -> Result<(), BtfError> {
        match self.index().end {
            Some(flaw) => Err(flaw.into()),
            None => Ok(()),
        }
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| {
            let mut walk = Walk::new(self.type_section(), self.first_id());
            let mut offsets = Vec::with_capacity(self.types.len() / (STRIDE * 20));
            let mut count = 0;
            loop {
                let offset = walk.at;
                if walk.next().is_none() {
                    break;
                }
                if (count as usize).is_multiple_of(STRIDE) {
                    // Header fields are 32 bits wide, so that the section is below 4 GiB.
                    offsets.push(offset as u32);
                }
                count += 1;
            }
            Index {
                offsets,
                count,
                end: walk.flaw,
            }
        })
    }

    /// The record of a type, and the BTF of the chain of bases it belongs to.
    pub(crate) fn record(&self, id: TypeId) -> Result<(&Btf, Record<'_>), BtfError> {
        let first = self.first_id();
        let Some(local) = id.0.checked_sub(first.0) else {
            return match &self.base {
                Some(base) => base.record(id),
                None => Err(BtfError::NoType(id)),
            };
        };
        let index = self.index();
        if local >= index.count {
            return Err(index.end.map_or(BtfError::NoType(id), BtfError::from));
        }
        let local = local as usize;
        let start = index.offsets.get(local / STRIDE).copied().unwrap_or(0);
        let mut walk = Walk::new(self.type_section(), first);
        walk.at = start as usize;
        let found = walk.nth(local % STRIDE);
        let record = found.and_then(|(_, head, rest)| Record::read(head, rest));
        record.map(|r| (self, r)).ok_or(BtfError::NoType(id))
    }

    /// All types of this BTF itself, without its base, in the order of their ids.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, Type<'_>)> {
        self.records()
            .map(|(id, record)| (id, Type::new(self, &record)))
    }

    /// The records of this BTF itself.
    pub(crate) fn records(&self) -> impl Iterator<Item = (TypeId, Record<'_>)> {
        self.records_where(|_| true)
    }

    /// The records of this BTF itself whose start is as wanted.
    fn records_where(
        &self,
        wanted: impl Fn(Head) -> bool,
    ) -> impl Iterator<Item = (TypeId, Record<'_>)> {
        Walk::new(self.type_section(), self.first_id())
            .filter(move |(_, head, _)| wanted(*head))
            .filter_map(|(id, head, rest)| Some((id, Record::read(head, rest)?)))
    }

    /// The types of this BTF itself that have this kind and one of these names.
    fn named(&self, kind: Kind, names: &[u32]) -> impl Iterator<Item = TypeId> {
        self.records_where(move |head| names.contains(&head.name) && head.code() == kind as u8)
            .map(|(id, _)| id)
    }

    /// The text at an offset of the string sections, base first. `None` if it is outside, or not UTF-8.
    pub fn string(&self, offset: u32) -> Option<&str> {
        if offset == 0 {
            return Some("");
        }
        let mut offset = offset as usize;
        if let Some(base) = &self.base {
            match offset.checked_sub(base.strings_end()) {
                Some(own) => offset = own,
                None => return base.string(u32::try_from(offset).ok()?),
            }
        }
        let tail = self.string_section().get(offset..)?;
        let len = memchr::memchr(0, tail)?;
        std::str::from_utf8(tail.get(..len)?).ok()
    }

    /// The length of all string sections up to this one's end.
    fn strings_end(&self) -> usize {
        let base = self.base.as_ref().map_or(0, |base| base.strings_end());
        base.saturating_add(self.strings.len())
    }

    /// Offsets at which exactly this text stands in the string sections; one unless the writer
    /// repeated itself.
    pub(crate) fn string_offsets(&self, text: &str) -> Vec<u32> {
        let mut found = match &self.base {
            Some(base) => base.string_offsets(text),
            None => Vec::new(),
        };
        if text.is_empty() || text.contains('\0') {
            return found;
        }
        let before = self.strings_end() - self.strings.len();
        let needle = [b"\0", text.as_bytes(), b"\0"].concat();
        let finder = memmem::Finder::new(&needle);
        let strings = self.string_section();
        let mut from = 0;
        while let Some(at) = strings.get(from..).and_then(|s| finder.find(s)) {
            found.extend(u32::try_from(before + from + at + 1));
            from += at + 1;
        }
        // The first string of a module's section has no zero byte in front.
        if self.base.is_some() && strings.starts_with(needle.get(1..).unwrap_or_default()) {
            found.extend(u32::try_from(before));
        }
        found
    }

    /// The first type of this kind and name, in this BTF itself or else in its base.
    /// The search is remembered.
    pub fn find(&self, kind: Kind, name: &str) -> Option<TypeId> {
        // A poisoned lock guards only a cache, whose entries are whole.
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (kind, Box::from(name));
        if let Some(known) = found.get(&key) {
            return *known;
        }
        let names = self.string_offsets(name);
        let id = if names.is_empty() {
            None
        } else {
            self.find_offsets(kind, &names)
        };
        found.insert(key, id);
        id
    }

    fn find_offsets(&self, kind: Kind, names: &[u32]) -> Option<TypeId> {
        let own = self.named(kind, names).next();
        match (own, &self.base) {
            (None, Some(base)) => base.find_offsets(kind, names),
            (own, _) => own,
        }
    }

    /// All types of this kind and name in this BTF itself: a kernel may have several.
    pub fn find_all(&self, kind: Kind, name: &str) -> Vec<TypeId> {
        let names = self.string_offsets(name);
        if names.is_empty() {
            return Vec::new();
        }
        self.named(kind, &names).collect()
    }

    /// The constant of this name in any enumeration, own ones first: the enumeration and the value.
    pub fn enumerator(&self, name: &str) -> Option<(TypeId, i64)> {
        let names = self.string_offsets(name);
        if names.is_empty() {
            return None;
        }
        self.enumerator_at(&names)
    }

    fn enumerator_at(&self, names: &[u32]) -> Option<(TypeId, i64)> {
        let own = self
            .records_where(|head| [Kind::Enum as u8, Kind::Enum64 as u8].contains(&head.code()))
            .find_map(|(id, record)| {
                let (Type::Enum(e) | Type::Enum64(e)) = Type::new(self, &record) else {
                    return None;
                };
                let (_, value) = e.raw_values().find(|(name, _)| names.contains(name))?;
                Some((id, value))
            });
        match (own, &self.base) {
            (None, Some(base)) => base.enumerator_at(names),
            (own, _) => own,
        }
    }

    /// All functions of this BTF itself by name: their ids and those of their prototypes.
    pub fn functions(&self) -> impl Iterator<Item = (&str, TypeId, TypeId)> {
        self.records_where(|head| head.code() == Kind::Func as u8)
            .filter_map(|(id, record)| {
                Some((self.string(record.name)?, id, TypeId(record.size_or_type)))
            })
    }
}

impl std::fmt::Debug for Btf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Btf")
            .field("bytes", &self.data.len())
            .field("split", &self.base.is_some())
            .finish_non_exhaustive()
    }
}

/// Goes from record to record until the section ends or makes no sense.
struct Walk<'a> {
    section: &'a [u8],
    at: usize,
    id: TypeId,
    flaw: Option<Flaw>,
}

impl<'a> Walk<'a> {
    fn new(section: &'a [u8], id: TypeId) -> Walk<'a> {
        Walk {
            section,
            at: 0,
            id,
            flaw: None,
        }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = (TypeId, Head, &'a [u8]);

    /// The id, the start of the record, and the section from the record on, which holds all of it.
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.section.get(self.at..).filter(|r| !r.is_empty())?;
        let id = self.id;
        let Some(head) = Head::read(rest) else {
            self.flaw = Some(Flaw::Truncated);
            return None;
        };
        let span = head.span();
        if span == 0 || span > rest.len() {
            let kind = head.code();
            self.flaw = Some(match span {
                0 => Flaw::Kind { id, kind },
                _ => Flaw::Truncated,
            });
            return None;
        }
        self.at += span;
        self.id = TypeId(id.0.saturating_add(1));
        Some((id, head, rest))
    }
}
