//! Writing BTF.

use std::collections::HashMap;

use crate::TypeId;
use crate::raw::{HEADER_LEN, Kind, MAGIC, VERSION};
use crate::types::{IntEncoding, Linkage};

/// Collects types and strings, and writes them as BTF in the machine's byte order.
///
/// A type that is added twice is stored once. Types may refer to ones that come later:
/// [`BtfBuilder::next_id`] tells the id in advance.
#[derive(Clone, Debug)]
pub struct BtfBuilder {
    strings: Vec<u8>,
    offsets: HashMap<Box<str>, u32>,
    types: Vec<u8>,
    ids: HashMap<Box<[u8]>, TypeId>,
    next: u32,
}

impl Default for BtfBuilder {
    fn default() -> BtfBuilder {
        BtfBuilder::new()
    }
}

impl BtfBuilder {
    /// No types but `void`, no strings but the empty one.
    pub fn new() -> BtfBuilder {
        BtfBuilder {
            strings: vec![0],
            offsets: HashMap::new(),
            types: Vec::new(),
            ids: HashMap::new(),
            next: 1,
        }
    }

    /// The id that the next new type will have.
    pub fn next_id(&self) -> TypeId {
        TypeId(self.next)
    }

    /// The offset of a text in the string section, where it is stored once. A text ends at its
    /// first zero byte.
    pub fn string(&mut self, text: &str) -> u32 {
        let text = text.split('\0').next().unwrap_or_default();
        if text.is_empty() {
            return 0;
        }
        if let Some(offset) = self.offsets.get(text) {
            return *offset;
        }
        // Offsets are 32 bits wide: text beyond 4 GiB does not occur in a program.
        let offset = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        self.offsets.insert(text.into(), offset);
        offset
    }

    fn add(
        &mut self,
        name: &str,
        (kind, vlen, flag): (Kind, usize, bool),
        size_or_type: u32,
        extra: &[u32],
    ) -> TypeId {
        let name = self.string(name);
        // An element count is 16 bits wide; what is beyond is cut off with its elements.
        let vlen = u32::from(u16::try_from(vlen).unwrap_or(u16::MAX));
        let (fixed, each) = kind.extra();
        let words = (fixed + each * vlen as usize) / 4;
        let info = vlen | u32::from(kind as u8) << 24 | u32::from(flag) << 31;
        let record: Vec<u8> = [name, info, size_or_type]
            .iter()
            .chain(extra.iter().take(words))
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        if let Some(id) = self.ids.get(record.as_slice()) {
            return *id;
        }
        let id = TypeId(self.next);
        self.next += 1;
        self.types.extend_from_slice(&record);
        self.ids.insert(record.into(), id);
        id
    }

    /// An integer of `size` bytes that uses all its bits.
    pub fn int(&mut self, name: &str, size: u32, encoding: IntEncoding) -> TypeId {
        let encoding = u32::from(encoding.signed)
            | u32::from(encoding.char) << 1
            | u32::from(encoding.bool) << 2;
        let bits = size.saturating_mul(8) & 0xff;
        self.add(name, (Kind::Int, 0, false), size, &[encoding << 24 | bits])
    }

    /// A floating-point number of `size` bytes.
    pub fn float(&mut self, name: &str, size: u32) -> TypeId {
        self.add(name, (Kind::Float, 0, false), size, &[])
    }

    /// A pointer.
    pub fn ptr(&mut self, target: TypeId) -> TypeId {
        self.add("", (Kind::Ptr, 0, false), target.0, &[])
    }

    /// `const` of a type.
    pub fn constant(&mut self, target: TypeId) -> TypeId {
        self.add("", (Kind::Const, 0, false), target.0, &[])
    }

    /// `volatile` of a type.
    pub fn volatile(&mut self, target: TypeId) -> TypeId {
        self.add("", (Kind::Volatile, 0, false), target.0, &[])
    }

    /// `restrict` of a type.
    pub fn restrict(&mut self, target: TypeId) -> TypeId {
        self.add("", (Kind::Restrict, 0, false), target.0, &[])
    }

    /// A type with a tag (`__attribute__((btf_type_tag("name")))`).
    pub fn type_tag(&mut self, name: &str, target: TypeId) -> TypeId {
        self.add(name, (Kind::TypeTag, 0, false), target.0, &[])
    }

    /// A tag on a declaration, on one of its members or parameters if `component` is given.
    pub fn decl_tag(&mut self, name: &str, target: TypeId, component: Option<u32>) -> TypeId {
        let component = component.unwrap_or(u32::MAX);
        self.add(name, (Kind::DeclTag, 0, false), target.0, &[component])
    }

    /// Another name for a type.
    pub fn typedef(&mut self, name: &str, target: TypeId) -> TypeId {
        self.add(name, (Kind::Typedef, 0, false), target.0, &[])
    }

    /// A struct or union that is declared but not defined.
    pub fn fwd(&mut self, name: &str, union: bool) -> TypeId {
        self.add(name, (Kind::Fwd, 0, union), 0, &[])
    }

    /// An array; `index` is an integer type for the index, such as `unsigned int`.
    pub fn array(&mut self, elem: TypeId, index: TypeId, len: u32) -> TypeId {
        self.add("", (Kind::Array, 0, false), 0, &[elem.0, index.0, len])
    }

    /// A struct of `size` bytes with members of name, type and offset in bits.
    pub fn structure(&mut self, name: &str, size: u32, members: &[(&str, TypeId, u32)]) -> TypeId {
        self.composite(Kind::Struct, name, size, members)
    }

    /// A union of `size` bytes with members of name, type and offset in bits.
    pub fn union(&mut self, name: &str, size: u32, members: &[(&str, TypeId, u32)]) -> TypeId {
        self.composite(Kind::Union, name, size, members)
    }

    fn composite(
        &mut self,
        kind: Kind,
        name: &str,
        size: u32,
        members: &[(&str, TypeId, u32)],
    ) -> TypeId {
        let extra: Vec<u32> = members
            .iter()
            .flat_map(|(name, id, offset)| [self.string(name), id.0, *offset])
            .collect();
        self.add(name, (kind, members.len(), false), size, &extra)
    }

    /// A struct with bit fields: members of name, type, offset in bits and size in bits, the
    /// latter 0 where the member is no bit field. Offsets are below 2²⁴.
    pub fn bitfields(
        &mut self,
        name: &str,
        size: u32,
        members: &[(&str, TypeId, u32, u8)],
    ) -> TypeId {
        let extra: Vec<u32> = members
            .iter()
            .flat_map(|(name, id, offset, bits)| {
                let place = offset & 0xff_ffff | u32::from(*bits) << 24;
                [self.string(name), id.0, place]
            })
            .collect();
        self.add(name, (Kind::Struct, members.len(), true), size, &extra)
    }

    /// An enumeration of `size` bytes whose values fit into 32 bits. It is signed if one is negative.
    pub fn enumeration(&mut self, name: &str, size: u32, values: &[(&str, i64)]) -> TypeId {
        let signed = values.iter().any(|(_, value)| *value < 0);
        let extra: Vec<u32> = values
            .iter()
            .flat_map(|(name, value)| [self.string(name), *value as u32])
            .collect();
        self.add(name, (Kind::Enum, values.len(), signed), size, &extra)
    }

    /// An enumeration of 64-bit values.
    pub fn enum64(&mut self, name: &str, signed: bool, values: &[(&str, i64)]) -> TypeId {
        let extra: Vec<u32> = values
            .iter()
            .flat_map(|(name, value)| {
                let value = *value as u64;
                [self.string(name), value as u32, (value >> 32) as u32]
            })
            .collect();
        self.add(name, (Kind::Enum64, values.len(), signed), 8, &extra)
    }

    /// A function type; the last parameter may be `void` for `...`.
    pub fn func_proto(&mut self, ret: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let extra: Vec<u32> = params
            .iter()
            .flat_map(|(name, id)| [self.string(name), id.0])
            .collect();
        self.add("", (Kind::FuncProto, params.len(), false), ret.0, &extra)
    }

    /// A function with its prototype.
    pub fn func(&mut self, name: &str, proto: TypeId, linkage: Linkage) -> TypeId {
        // Where other kinds count their elements, functions keep their linkage.
        let linkage = linkage_code(linkage) as usize;
        self.add(name, (Kind::Func, linkage, false), proto.0, &[])
    }

    /// A global variable.
    pub fn var(&mut self, name: &str, type_id: TypeId, linkage: Linkage) -> TypeId {
        let linkage = linkage_code(linkage);
        self.add(name, (Kind::Var, 0, false), type_id.0, &[linkage])
    }

    /// A section of `size` bytes with variables of id, offset and size in bytes.
    pub fn datasec(&mut self, name: &str, size: u32, vars: &[(TypeId, u32, u32)]) -> TypeId {
        let extra: Vec<u32> = vars
            .iter()
            .flat_map(|(var, offset, size)| [var.0, *offset, *size])
            .collect();
        self.add(name, (Kind::DataSec, vars.len(), false), size, &extra)
    }

    /// The BTF as bytes: header, types, strings.
    pub fn build(&self) -> Vec<u8> {
        let types = self.types.len() as u32;
        let strings = self.strings.len() as u32;
        let mut out = Vec::with_capacity(HEADER_LEN + self.types.len() + self.strings.len());
        out.extend_from_slice(&MAGIC.to_ne_bytes());
        out.extend_from_slice(&[VERSION, 0]);
        for word in [HEADER_LEN as u32, 0, types, types, strings] {
            out.extend_from_slice(&word.to_ne_bytes());
        }
        out.extend_from_slice(&self.types);
        out.extend_from_slice(&self.strings);
        out
    }
}

fn linkage_code(linkage: Linkage) -> u32 {
    match linkage {
        Linkage::Static => 0,
        Linkage::Global => 1,
        Linkage::Extern => 2,
    }
}
