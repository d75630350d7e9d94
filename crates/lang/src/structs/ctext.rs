//! C types as text: of a tracepoint's format, and bare names in a script.

use crate::structs::{BtfSource, Structs};
use crate::types::{IntType, Space, Type};

/// Integers that C and the kernel call by name, for systems without BTF as well.
fn basic(name: &str) -> Option<Type> {
    let int = |bits, signed| Some(Type::Int(IntType { bits, signed }));
    match name {
        "void" => Some(Type::Void),
        "bool" | "_Bool" => Some(Type::Bool),
        "char" | "signed char" | "s8" | "__s8" | "int8_t" => int(8, true),
        "unsigned char" | "u8" | "__u8" | "uint8_t" => int(8, false),
        "short" | "short int" | "signed short" | "s16" | "__s16" | "int16_t" => int(16, true),
        "unsigned short" | "short unsigned int" | "unsigned short int" | "u16" | "__u16"
        | "uint16_t" | "umode_t" => int(16, false),
        "int" | "signed" | "signed int" | "s32" | "__s32" | "int32_t" | "pid_t" => int(32, true),
        "unsigned" | "unsigned int" | "u32" | "__u32" | "uint32_t" | "uid_t" | "gid_t"
        | "dev_t" => int(32, false),
        "long" | "long int" | "signed long" | "long long" | "long long int"
        | "signed long long" | "s64" | "__s64" | "int64_t" | "ssize_t" | "loff_t" | "ptrdiff_t"
        | "intptr_t" => int(64, true),
        "unsigned long"
        | "long unsigned int"
        | "unsigned long int"
        | "unsigned long long"
        | "long long unsigned int"
        | "unsigned long long int"
        | "u64"
        | "__u64"
        | "uint64_t"
        | "size_t"
        | "uintptr_t" => int(64, false),
        _ => None,
    }
}

impl Structs {
    /// A type that C's text names without pointers: of the script, of BTF, or one that every C has.
    pub(crate) fn c_name(&mut self, source: &BtfSource<'_>, name: &str) -> Option<Type> {
        if let Some(tag) = name.strip_prefix("struct ") {
            return Some(self.c_struct(source, false, tag));
        }
        if let Some(tag) = name.strip_prefix("union ") {
            return Some(self.c_struct(source, true, tag));
        }
        if let Some(tag) = name.strip_prefix("enum ") {
            if let Some(&id) = self.enum_names.get(tag) {
                return Some(Type::Enum(id, self.get_enum(id).ty));
            }
            return self.btf_enum(source, tag);
        }
        if let Some(ty) = self.typedef(name) {
            return Some(ty);
        }
        // Nothing of the language computes with these; they only take their room.
        match name {
            "float" => return Some(self.opaque("float", 4)),
            "double" => return Some(self.opaque("double", 8)),
            "long double" => return Some(self.opaque("long double", 16)),
            _ => {}
        }
        match basic(name) {
            Some(ty) => Some(ty),
            None => self.btf_named(source, name),
        }
    }

    fn opaque(&mut self, name: &str, size: u32) -> Type {
        let id = match self.named(name) {
            Some(id) => id,
            None => self.add(name, size, size.min(8), Vec::new()),
        };
        Type::Struct(id, Space::None)
    }

    /// A struct or union by its tag; one that nothing defines has no size.
    pub(crate) fn c_struct(&mut self, source: &BtfSource<'_>, is_union: bool, tag: &str) -> Type {
        let name = format!("{} {tag}", if is_union { "union" } else { "struct" });
        if self.own.contains(&name) {
            return self.declare(&name);
        }
        if let Some(id) = self.named(&name).filter(|&id| self.get(id).size > 0) {
            return Type::Struct(id, Space::None);
        }
        match self.btf_struct(source, is_union, tag) {
            Some(id) => Type::Struct(id, Space::None),
            None => self.declare(&name),
        }
    }

    /// A whole type such as `const char __user *`: qualifiers are skipped. `None` for what is unknown.
    pub(crate) fn c_text(&mut self, source: &BtfSource<'_>, text: &str) -> Option<Type> {
        let stars = text.matches('*').count().min(8);
        let user = text.contains("__user");
        let base: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || c == '*')
            .filter(|word| {
                !matches!(
                    *word,
                    "" | "const" | "volatile" | "restrict" | "__user" | "__rcu" | "__data_loc"
                )
            })
            .collect();
        let base = self.c_name(source, &base.join(" "));
        let base = match base {
            Some(ty) => ty,
            None if stars > 0 => Type::Void,
            None => return None,
        };
        let space = if user { Space::User } else { Space::None };
        Some((0..stars).fold(base, |ty, _| Type::pointer(ty, space)))
    }
}
