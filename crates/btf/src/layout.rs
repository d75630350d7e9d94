//! Sizes, alignments and places of members on a 64-bit machine.

use crate::types::{Composite, Type};
use crate::{Btf, BtfError, TypeId};

/// More modifiers or array dimensions than this one behind the other are a circle.
pub(crate) const DEPTH: usize = 64;

/// Types that one question about a type may visit. The largest structs of a kernel have some
/// thousands of members within members; malformed types can pretend to any number.
const FUEL: usize = 100_000;

/// Bytes of a pointer.
pub const POINTER_SIZE: u32 = 8;

/// A member of a struct, reached through anonymous structs and unions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberPath {
    /// Index of the member in each struct on the way, the last being the member itself.
    pub indices: Vec<u32>,
    /// The struct or union that declares the member.
    pub parent: TypeId,
    pub type_id: TypeId,
    /// Bits from the start of the outermost struct.
    pub bit_offset: u64,
    /// Bits of the field, 0 where it is no bit field.
    pub bitfield_size: u8,
}

impl Btf {
    /// Skips `const`, `volatile`, `restrict` and type tags.
    ///
    /// # Errors
    /// If a type on the way does not exist, or the way is a circle.
    pub fn unqualified(&self, id: TypeId) -> Result<TypeId, BtfError> {
        self.skip(id, false)
    }

    /// Skips what [`Btf::unqualified`] skips, and typedefs.
    ///
    /// # Errors
    /// As [`Btf::unqualified`].
    pub fn resolve(&self, id: TypeId) -> Result<TypeId, BtfError> {
        self.skip(id, true)
    }

    /// The type that [`Btf::resolve`] leads to.
    ///
    /// # Errors
    /// As [`Btf::unqualified`].
    pub fn get_resolved(&self, id: TypeId) -> Result<Type<'_>, BtfError> {
        self.get(self.resolve(id)?)
    }

    fn skip(&self, start: TypeId, typedefs: bool) -> Result<TypeId, BtfError> {
        let mut id = start;
        for _ in 0..DEPTH {
            id = match self.get(id)? {
                Type::Const { target }
                | Type::Volatile { target }
                | Type::Restrict { target }
                | Type::TypeTag { target, .. } => target,
                Type::Typedef { target, .. } if typedefs => target,
                _ => return Ok(id),
            };
        }
        Err(BtfError::Cycle(start))
    }

    /// Bytes that a value of the type occupies, 0 for a flexible array.
    ///
    /// # Errors
    /// [`BtfError::NoSize`] for `void`, functions and forward declarations.
    pub fn size_of(&self, id: TypeId) -> Result<u64, BtfError> {
        let mut id = id;
        let mut count = 1u64;
        for _ in 0..DEPTH {
            id = self.resolve(id)?;
            let size = match self.get(id)? {
                Type::Array(array) => {
                    count = count.saturating_mul(array.len.into());
                    id = array.elem;
                    continue;
                }
                Type::Var(var) => {
                    id = var.type_id;
                    continue;
                }
                Type::Int(int) => int.size,
                Type::Ptr { .. } => POINTER_SIZE,
                Type::Struct(s) | Type::Union(s) => s.size,
                Type::Enum(e) | Type::Enum64(e) => e.size,
                Type::Float { size, .. } => size,
                Type::DataSec(section) => section.size,
                _ => return Err(BtfError::NoSize(id)),
            };
            return Ok(count.saturating_mul(size.into()));
        }
        Err(BtfError::Cycle(id))
    }

    /// The alignment of the type in bytes, at most that of a pointer. BTF does not store it: that of
    /// a struct is inferred, and is 1 where sizes and offsets show that the struct is packed.
    ///
    /// # Errors
    /// As [`Btf::size_of`].
    pub fn align_of(&self, id: TypeId) -> Result<u32, BtfError> {
        self.align_fuelled(id, &mut { FUEL })
    }

    /// [`Btf::align_of`], visiting no more types than there is fuel.
    pub(crate) fn align_fuelled(&self, id: TypeId, fuel: &mut usize) -> Result<u32, BtfError> {
        self.align_within(id, DEPTH, fuel)
    }

    fn align_within(&self, id: TypeId, depth: usize, fuel: &mut usize) -> Result<u32, BtfError> {
        let depth = depth.checked_sub(1).ok_or(BtfError::Cycle(id))?;
        *fuel = fuel.checked_sub(1).ok_or(BtfError::Cycle(id))?;
        match self.get_resolved(id)? {
            Type::Int(int) => Ok(int.size.clamp(1, POINTER_SIZE)),
            Type::Float { size, .. } => Ok(size.clamp(1, POINTER_SIZE)),
            Type::Enum(e) | Type::Enum64(e) => Ok(e.size.clamp(1, POINTER_SIZE)),
            Type::Ptr { .. } => Ok(POINTER_SIZE),
            Type::Array(array) => self.align_within(array.elem, depth, fuel),
            Type::Var(var) => self.align_within(var.type_id, depth, fuel),
            Type::Struct(s) | Type::Union(s) => {
                let mut most = 1;
                for member in s.members() {
                    let align = self.align_within(member.type_id, depth, fuel)?;
                    let bits = align.saturating_mul(8);
                    if member.bitfield_size == 0 && !member.bit_offset.is_multiple_of(bits) {
                        return Ok(1);
                    }
                    most = most.max(align);
                }
                Ok(if s.size.is_multiple_of(most) { most } else { 1 })
            }
            _ => Err(BtfError::NoSize(id)),
        }
    }

    /// Whether offsets or sizes show that the struct was declared without padding.
    pub(crate) fn is_packed(
        &self,
        composite: &Composite<'_>,
        fuel: &mut usize,
    ) -> Result<bool, BtfError> {
        let mut most = 1;
        for member in composite.members() {
            let align = self.align_within(member.type_id, DEPTH, fuel)?;
            let bits = align.saturating_mul(8);
            if member.bitfield_size == 0 && !member.bit_offset.is_multiple_of(bits) {
                return Ok(true);
            }
            most = most.max(align);
        }
        Ok(!composite.size.is_multiple_of(most))
    }

    /// The member of this name of a struct or union, or of the anonymous ones within. Typedefs and
    /// modifiers of the struct are skipped.
    pub fn find_member(&self, id: TypeId, name: &str) -> Option<MemberPath> {
        let mut search = Search {
            btf: self,
            name,
            indices: Vec::new(),
            fuel: FUEL,
        };
        search.within(self.resolve(id).ok()?, 0)
    }
}

/// A search for a member, bounded as malformed types may nest in circles.
struct Search<'a> {
    btf: &'a Btf,
    name: &'a str,
    indices: Vec<u32>,
    fuel: usize,
}

impl Search<'_> {
    fn within(&mut self, id: TypeId, start: u64) -> Option<MemberPath> {
        let (Type::Struct(composite) | Type::Union(composite)) = self.btf.get(id).ok()? else {
            return None;
        };
        if self.name.is_empty() || self.indices.len() >= DEPTH {
            return None;
        }
        for (index, member) in (0..).zip(composite.members()) {
            self.fuel = self.fuel.checked_sub(1)?;
            let bit_offset = start.saturating_add(member.bit_offset.into());
            self.indices.push(index);
            if member.name == self.name {
                return Some(MemberPath {
                    indices: std::mem::take(&mut self.indices),
                    parent: id,
                    type_id: member.type_id,
                    bit_offset,
                    bitfield_size: member.bitfield_size,
                });
            }
            if member.name.is_empty() {
                let inner = self.btf.unqualified(member.type_id).ok()?;
                let found = self.within(inner, bit_offset);
                if found.is_some() {
                    return found;
                }
            }
            self.indices.pop();
        }
        None
    }
}
