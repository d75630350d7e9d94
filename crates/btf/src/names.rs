//! Types as C text, laid out as bpftool and bpftrace show them (libbpf's `btf_dump`).

use std::fmt::Write;

use crate::layout::DEPTH;
use crate::types::{Composite, Enum, Type};
use crate::{Btf, BtfError, TypeId};

/// Types visited for one text. A kernel's largest struct takes some ten thousand, as the alignment
/// of each member is inferred from the members within.
const FUEL: usize = 1_000_000;

/// Lines written for one text; a malformed size would be filled with millions.
const LINES: usize = 50_000;

impl Btf {
    /// The type as it is written in C: `struct task_struct *`, `const char *`, `u64[4]`,
    /// `int (*)(void *)`. What cannot be read shows as its number.
    pub fn type_name(&self, id: TypeId) -> String {
        self.declaration(id, "")
    }

    /// The declaration of `name` with this type: `int (*name)(void *)`, `u64 name[4]`.
    /// What cannot be read shows as the type's number.
    pub fn declaration(&self, id: TypeId, name: &str) -> String {
        let mut printer = Printer::new(self, false);
        match printer.declare(id, name, 0) {
            Ok(()) => printer.out,
            Err(_) => format!("{id} {name}").trim_end().to_owned(),
        }
    }

    /// The C definition of a struct, union or enumeration, with the gaps between members named
    /// and members that are anonymous written out. Ends in `};`.
    ///
    /// # Errors
    /// [`BtfError::NoSize`] if the type is something else, others if it is malformed.
    pub fn struct_definition(&self, id: TypeId) -> Result<String, BtfError> {
        let mut printer = Printer::new(self, true);
        match self.get(id)? {
            Type::Struct(s) => printer.composite(id, &s, "struct", 0)?,
            Type::Union(s) => printer.composite(id, &s, "union", 0)?,
            Type::Enum(e) => printer.enumeration(&e, false, 0)?,
            Type::Enum64(e) => printer.enumeration(&e, true, 0)?,
            _ => return Err(BtfError::NoSize(id)),
        }
        printer.out.push(';');
        Ok(printer.out)
    }
}

struct Printer<'a> {
    btf: &'a Btf,
    out: String,
    /// Whether anonymous types are written out in full.
    inline: bool,
    fuel: usize,
    lines: usize,
}

impl<'a> Printer<'a> {
    fn new(btf: &'a Btf, inline: bool) -> Printer<'a> {
        Printer {
            btf,
            out: String::new(),
            inline,
            fuel: FUEL,
            lines: LINES,
        }
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.out.write_fmt(text);
    }

    /// Starts a line at this depth.
    fn line(&mut self, level: usize) -> Result<(), BtfError> {
        let left = self.lines.checked_sub(1);
        self.lines = left.ok_or(BtfError::Lines(LINES))?;
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n('\t', level));
        Ok(())
    }

    /// The alignment of a member, 1 where none can be found.
    fn align(&mut self, id: TypeId) -> u32 {
        self.btf.align_fuelled(id, &mut self.fuel).unwrap_or(1)
    }

    fn declare(&mut self, id: TypeId, name: &str, level: usize) -> Result<(), BtfError> {
        if level > DEPTH {
            return Err(BtfError::Cycle(id));
        }
        let mut chain = self.chain(id)?;
        self.base(&mut chain, level)?;
        self.derive(&mut chain, name, false, level)
    }

    /// The type and those it is derived from, one by one down to a type that has a name of its own.
    fn chain(&mut self, id: TypeId) -> Result<Vec<(TypeId, Type<'a>)>, BtfError> {
        let mut chain = Vec::new();
        let mut at = id;
        loop {
            self.fuel = self.fuel.checked_sub(1).ok_or(BtfError::Cycle(id))?;
            if chain.len() > DEPTH {
                return Err(BtfError::Cycle(id));
            }
            let ty = self.btf.get(at)?;
            chain.push((at, ty));
            at = match ty {
                Type::Ptr { target }
                | Type::Const { target }
                | Type::Volatile { target }
                | Type::Restrict { target }
                | Type::TypeTag { target, .. } => target,
                Type::Array(array) => array.elem,
                Type::FuncProto(proto) => proto.ret,
                _ => return Ok(chain),
            };
        }
    }

    /// Writes the qualifiers that are next outside, in front of what they qualify.
    fn qualifiers(&mut self, chain: &mut Vec<(TypeId, Type<'a>)>) {
        while let Some((_, ty)) = chain.last() {
            self.out.push_str(match ty {
                Type::Const { .. } => "const ",
                Type::Volatile { .. } => "volatile ",
                Type::Restrict { .. } => "restrict ",
                _ => return,
            });
            chain.pop();
        }
    }

    /// Takes the innermost type off the chain and writes it.
    fn base(&mut self, chain: &mut Vec<(TypeId, Type<'a>)>, level: usize) -> Result<(), BtfError> {
        let Some((id, ty)) = chain.pop() else {
            return Ok(());
        };
        self.qualifiers(chain);
        match ty {
            Type::Void => self.out.push_str("void"),
            Type::Struct(s) if s.name.is_empty() && self.inline => {
                self.composite(id, &s, "struct", level)?;
            }
            Type::Union(s) if s.name.is_empty() && self.inline => {
                self.composite(id, &s, "union", level)?;
            }
            Type::Enum(e) if e.name.is_empty() && self.inline => {
                self.enumeration(&e, false, level)?;
            }
            Type::Enum64(e) if e.name.is_empty() && self.inline => {
                self.enumeration(&e, true, level)?;
            }
            Type::Struct(_) | Type::Fwd { union: false, .. } => self.tagged("struct", ty.name()),
            Type::Union(_) | Type::Fwd { union: true, .. } => self.tagged("union", ty.name()),
            Type::Enum(_) | Type::Enum64(_) => self.tagged("enum", ty.name()),
            _ => self.out.push_str(ty.name()),
        }
        Ok(())
    }

    fn tagged(&mut self, keyword: &str, name: &str) {
        let name = if name.is_empty() { "{...}" } else { name };
        self.put(format_args!("{keyword} {name}"));
    }

    /// Writes what is derived from the type just written, the innermost first, around the name.
    /// `tight` says that a pointer or parenthesis was written last, after which no blank goes.
    fn derive(
        &mut self,
        chain: &mut Vec<(TypeId, Type<'a>)>,
        name: &str,
        mut tight: bool,
        level: usize,
    ) -> Result<(), BtfError> {
        while let Some((_, ty)) = chain.pop() {
            match ty {
                Type::Ptr { .. } => self.out.push_str(if tight { "*" } else { " *" }),
                Type::Const { .. } => self.out.push_str(" const"),
                Type::Volatile { .. } => self.out.push_str(" volatile"),
                Type::Restrict { .. } => self.out.push_str(" restrict"),
                Type::TypeTag { name, .. } => {
                    self.qualifiers(chain);
                    self.put(format_args!(" __attribute__((btf_type_tag(\"{name}\")))"));
                }
                Type::Array(array) => {
                    drop_qualifiers(chain);
                    match chain.last() {
                        None => self.name(name, tight),
                        Some((_, Type::Array(_))) => {
                            self.derive(chain, name, tight, level)?;
                        }
                        Some(_) => {
                            if !name.is_empty() && !tight {
                                self.out.push(' ');
                            }
                            self.out.push('(');
                            self.derive(chain, name, true, level)?;
                            self.out.push(')');
                        }
                    }
                    self.put(format_args!("[{}]", array.len));
                    return Ok(());
                }
                Type::FuncProto(proto) => {
                    // Compilers mark functions that do not return as volatile.
                    drop_qualifiers(chain);
                    if chain.is_empty() {
                        self.name(name, tight);
                    } else {
                        self.out.push_str(" (");
                        self.derive(chain, name, true, level)?;
                        self.out.push(')');
                    }
                    self.out.push('(');
                    self.parameters(&proto, level)?;
                    self.out.push(')');
                    return Ok(());
                }
                _ => {}
            }
            tight = matches!(ty, Type::Ptr { .. });
        }
        self.name(name, tight);
        Ok(())
    }

    fn name(&mut self, name: &str, tight: bool) {
        if !name.is_empty() && !tight {
            self.out.push(' ');
        }
        self.out.push_str(name);
    }

    fn parameters(
        &mut self,
        proto: &crate::types::FuncProto<'a>,
        level: usize,
    ) -> Result<(), BtfError> {
        let params = proto.params();
        let last = params.len().saturating_sub(1);
        let mut empty = true;
        for (n, param) in params.enumerate() {
            if n == last && param.type_id.is_void() {
                if n > 0 {
                    self.out.push_str(", ...");
                    empty = false;
                }
                break;
            }
            if n > 0 {
                self.out.push_str(", ");
            }
            empty = false;
            self.declare(param.type_id, param.name, level + 1)?;
        }
        if empty {
            self.out.push_str("void");
        }
        Ok(())
    }

    fn composite(
        &mut self,
        id: TypeId,
        composite: &Composite<'a>,
        keyword: &str,
        level: usize,
    ) -> Result<(), BtfError> {
        let is_struct = keyword == "struct";
        let blank = if composite.name.is_empty() { "" } else { " " };
        self.put(format_args!("{keyword}{blank}{} {{", composite.name));
        let packed = is_struct && (self.btf.is_packed(composite, &mut self.fuel)).unwrap_or(false);
        let mut gaps = Gaps { at: 0 };
        let mut after_bits = false;
        for member in composite.members() {
            let bits = u64::from(member.bitfield_size);
            let start = u64::from(member.bit_offset);
            let align = if packed {
                1
            } else {
                self.align(member.type_id)
            };
            gaps.fill(self, (start, align), after_bits && bits != 0, level + 1)?;
            self.line(level + 1)?;
            self.declare(member.type_id, member.name, level + 1)?;
            after_bits = bits != 0;
            let width = if after_bits {
                self.put(format_args!(": {bits}"));
                bits
            } else {
                let size = self.btf.size_of(member.type_id).unwrap_or(0);
                size.saturating_mul(8)
            };
            gaps.at = start.saturating_add(width);
            self.out.push(';');
        }
        if is_struct {
            let align = if packed { 1 } else { self.align(id) };
            let end = u64::from(composite.size) * 8;
            gaps.fill(self, (end, align), false, level + 1)?;
        }
        if !composite.is_empty() || composite.size != 0 {
            self.line(level)?;
        }
        self.out.push('}');
        if packed {
            self.out.push_str(" __attribute__((packed))");
        }
        Ok(())
    }

    fn enumeration(&mut self, e: &Enum<'a>, wide: bool, level: usize) -> Result<(), BtfError> {
        let blank = if e.name.is_empty() { "" } else { " " };
        self.put(format_args!("enum{blank}{} {{", e.name));
        for constant in e.enumerators() {
            self.line(level + 1)?;
            let (name, value) = (constant.name, constant.value);
            match (wide, e.signed) {
                (false, _) => self.put(format_args!("{name} = {value},")),
                (true, true) => self.put(format_args!("{name} = {value}LL,")),
                (true, false) => self.put(format_args!("{name} = {}ULL,", value as u64)),
            }
        }
        self.line(level)?;
        self.out.push('}');
        let fits = |value: i64| (value as u64) >> 32 == 0;
        if e.size == 1 {
            self.out.push_str(" __attribute__((mode(byte)))");
        } else if e.size == 8 && (!wide || e.enumerators().all(|c| fits(c.value))) {
            self.out.push_str(" __attribute__((mode(word)))");
        }
        Ok(())
    }
}

fn drop_qualifiers(chain: &mut Vec<(TypeId, Type<'_>)>) {
    while let Some((_, Type::Const { .. } | Type::Volatile { .. } | Type::Restrict { .. })) =
        chain.last()
    {
        chain.pop();
    }
}

/// Names the gaps that a compiler would not leave by itself.
struct Gaps {
    /// Bit behind the last member.
    at: u64,
}

const PADS: [(&str, u64); 4] = [("long", 64), ("int", 32), ("short", 16), ("char", 8)];

impl Gaps {
    /// Writes unnamed bit fields up to bit `next`, where something begins that a compiler aligns
    /// to so many bytes by itself.
    fn fill(
        &mut self,
        p: &mut Printer<'_>,
        (next, align): (u64, u32),
        in_bits: bool,
        level: usize,
    ) -> Result<(), BtfError> {
        if self.at >= next {
            return Ok(());
        }
        let pad = |p: &mut Printer<'_>, name: &str, bits: u64| {
            p.line(level)?;
            p.put(format_args!("{name}: {bits};"));
            Ok::<(), BtfError>(())
        };
        // The widest type that has a boundary before the next member.
        let (name, bits) = PADS
            .into_iter()
            .find(|(_, bits)| self.at.next_multiple_of(*bits) <= next)
            .unwrap_or(PADS[3]);
        let boundary = self.at.next_multiple_of(bits);
        if boundary > self.at && boundary <= next {
            let natural = self.at.next_multiple_of(u64::from(align) * 8);
            let step = boundary - self.at;
            let needed = in_bits
                || (boundary == next && natural != boundary)
                || (boundary != next && next - boundary <= step);
            if needed {
                pad(p, name, if in_bits { step } else { 0 })?;
            }
            self.at = boundary;
        }
        while next - self.at >= bits {
            pad(p, name, bits)?;
            self.at += bits;
        }
        let rest = next - self.at;
        if rest > 0 {
            let (name, _) = PADS
                .into_iter()
                .rev()
                .find(|(_, bits)| *bits >= rest)
                .unwrap_or(PADS[0]);
            pad(p, name, rest)?;
        }
        self.at = next;
        Ok(())
    }
}
