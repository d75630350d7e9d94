//! Writing.

use std::collections::{HashMap, HashSet};

use beetrace_btf::{BtfBuilder, BtfExtBuilder, FuncInfo, Linkage};
use beetrace_isa::{Imm64, Insn, to_bytes};
use object::write::{Object as File, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};

use super::code::{Target, extract};
use super::names::{self, Names};
use super::{ElfError, VERSION, types};
use crate::body::{Body, bodies};
use crate::debug_info::{Sources, body_lines, function_type};
use crate::{Map, MapKind, MapRole, Object};

/// Serialises the object as a little-endian BPF ELF file.
///
/// # Errors
/// If an instruction refers to a map or function that is not there, or a path is not UTF-8.
pub fn write(object: &Object) -> Result<Vec<u8>, ElfError> {
    let mut writer = Writer {
        object,
        names: Names::new(object),
        file: File::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little),
        sections: HashMap::new(),
        btf: BtfBuilder::new(),
        ext: BtfExtBuilder::new(),
    };
    let (symbols, targets) = writer.maps();
    writer.programs(&symbols, &targets)?;
    writer.tables()?;
    Ok(writer.file.write()?)
}

struct Writer<'a> {
    object: &'a Object,
    names: Names,
    file: File<'static>,
    sections: HashMap<String, SectionId>,
    btf: BtfBuilder,
    ext: BtfExtBuilder,
}

impl Writer<'_> {
    /// A section, made on first use.
    fn section(&mut self, name: &str, kind: SectionKind) -> SectionId {
        let file = &mut self.file;
        *self
            .sections
            .entry(name.to_owned())
            .or_insert_with(|| file.add_section(Vec::new(), name.into(), kind))
    }

    /// Appends data under a symbol.
    fn define(
        &mut self,
        section: SectionId,
        (name, kind, scope): (&str, SymbolKind, SymbolScope),
        data: &[u8],
    ) -> SymbolId {
        let value = self.file.append_section_data(section, data, 8);
        self.file.add_symbol(Symbol {
            name: name.into(),
            value,
            size: data.len() as u64,
            kind,
            scope,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        })
    }

    /// Defines maps: their symbols by index, and what instructions mean by them.
    fn maps(&mut self) -> (Vec<SymbolId>, Vec<Target>) {
        let object = self.object;
        let addressed = addressed(object);
        let mut symbols = Vec::new();
        let mut targets = Vec::new();
        let mut defined = Vec::new();
        for (idx, map) in object.maps.iter().enumerate() {
            let Some(name) = self.names.maps.get(idx).cloned() else {
                continue;
            };
            let symbol = (name.as_str(), SymbolKind::Data, SymbolScope::Dynamic);
            if addressed.contains(&idx) && is_single_value(map) {
                symbols.push(self.data_map(map, symbol));
                targets.push(Target::Data(idx));
                continue;
            }
            targets.push(Target::Map(idx));
            let section = self.section(names::MAPS, SectionKind::Data);
            let (definition, size) = types::map(&mut self.btf, map);
            let var = self.btf.var(&name, definition, Linkage::Global);
            let data = vec![0; size as usize];
            let id = self.define(section, symbol, &data);
            let at = self.file.symbol(id).value as u32;
            defined.push((var, at, size));
            symbols.push(id);
        }
        if let Some((_, at, size)) = defined.last() {
            self.btf.datasec(names::MAPS, at + size, &defined);
        }
        (symbols, targets)
    }

    /// An array of one value that instructions address: a section that holds the value.
    fn data_map(&mut self, map: &Map, symbol: (&str, SymbolKind, SymbolScope)) -> SymbolId {
        let (prefix, kind, initial): (_, _, &[u8]) = match &map.role {
            MapRole::Constants(bytes) => (".rodata", SectionKind::ReadOnlyData, bytes),
            MapRole::Table(bytes) => (".rodata", SectionKind::ReadOnlyData, bytes),
            _ => (".data", SectionKind::Data, &[]),
        };
        let size = map.value_size as usize;
        let mut data = initial.get(..size).unwrap_or(initial).to_vec();
        data.resize(size, 0);
        let name = format!("{prefix}.{}", symbol.0);
        let section = self.section(&name, kind);
        let value = types::bytes(&mut self.btf, map.value_size);
        let var = self.btf.var(symbol.0, value, Linkage::Global);
        let vars = [(var, 0, map.value_size)];
        self.btf.datasec(&name, map.value_size, &vars);
        self.define(section, symbol, &data)
    }

    fn programs(&mut self, maps: &[SymbolId], targets: &[Target]) -> Result<(), ElfError> {
        let mut sources = Sources::new(&self.object.sources);
        // Each function's program, number there, symbol, section and offset.
        let mut placed = Vec::new();
        for (idx, program) in self.object.programs.iter().enumerate() {
            let bodies = bodies(program).ok_or_else(|| ElfError::Functions {
                program: program.name.clone(),
            })?;
            let mut functions = Vec::new();
            for (number, body) in bodies.iter().enumerate() {
                let (raw, relocations) = extract(&program.name, &bodies, body, targets)?;
                let (section, scope) = match number {
                    0 => (names::section(program), SymbolScope::Dynamic),
                    // Loaders take hidden functions for static ones, and resolve calls of
                    // local ones through the section only.
                    _ => (names::TEXT.to_owned(), SymbolScope::Linkage),
                };
                let id = self.section(&section, SectionKind::Text);
                let names = self.names.functions.get(idx);
                let name = names.and_then(|n| n.get(number)).cloned();
                let name = name.unwrap_or_default();
                let symbol = (name.as_str(), SymbolKind::Text, scope);
                let symbol = self.define(id, symbol, &to_bytes(&raw));
                let start = self.file.symbol(symbol).value;
                self.describe(&section, start, &name, body);
                self.lines(&section, start, program, body, &mut sources);
                functions.push((symbol, id, start, relocations));
            }
            placed.push(functions);
        }
        for functions in &placed {
            for (_, section, start, relocations) in functions {
                for relocation in relocations {
                    let symbol = match relocation.target {
                        Target::Map(idx) | Target::Data(idx) => maps.get(idx).copied(),
                        Target::Function(idx) => functions.get(idx).map(|f| f.0),
                    };
                    let Some(symbol) = symbol else {
                        return Err(ElfError::Dangling("a relocation"));
                    };
                    let r_type = match relocation.is_call {
                        true => object::elf::R_BPF_64_32,
                        false => object::elf::R_BPF_64_64,
                    };
                    let relocation = Relocation {
                        offset: start + u64::from(relocation.slot) * 8,
                        symbol,
                        addend: 0,
                        flags: RelocationFlags::Elf { r_type },
                    };
                    self.file.add_relocation(*section, relocation)?;
                }
            }
        }
        Ok(())
    }

    fn describe(&mut self, section: &str, start: u64, name: &str, body: &Body<'_>) {
        let type_id = function_type(&mut self.btf, name, body.signature);
        let info = FuncInfo {
            insn_off: start as u32,
            type_id,
        };
        self.ext.func_info(&mut self.btf, section, info);
    }

    fn lines(
        &mut self,
        section: &str,
        start: u64,
        program: &crate::Program,
        body: &Body<'_>,
        sources: &mut Sources<'_>,
    ) {
        for mut info in body_lines(program, body, &mut self.btf, sources) {
            let slot = info.insn_off - body.first_slot;
            info.insn_off = start as u32 + slot * 8;
            self.ext.line_row(&mut self.btf, section, info);
        }
    }

    fn tables(&mut self) -> Result<(), ElfError> {
        let license = [self.object.license.as_bytes(), b"\0"].concat();
        let section = self.section(names::LICENSE, SectionKind::Data);
        let symbol = ("_license", SymbolKind::Data, SymbolScope::Dynamic);
        self.define(section, symbol, &license);

        let ext = self.ext.build();
        let btf = self.btf.build();
        let tables = serde_json::to_vec(&Tables {
            version: VERSION,
            object: self.object,
        })?;
        for (name, data) in [
            (names::BTF, btf),
            (names::BTF_EXT, ext),
            (names::TABLES, tables),
        ] {
            let section = self.section(name, SectionKind::Other);
            self.file.append_section_data(section, &data, 8);
        }
        Ok(())
    }
}

#[derive(serde::Serialize)]
struct Tables<'a> {
    version: u32,
    object: &'a Object,
}

/// The maps of whose values an instruction takes the address.
fn addressed(object: &Object) -> HashSet<usize> {
    let insns = object.programs.iter().flat_map(|p| &p.insns);
    insns
        .filter_map(|insn| match insn {
            Insn::LdImm64 {
                imm: Imm64::MapIdxValue { idx, .. },
                ..
            } => Some(*idx as usize),
            _ => None,
        })
        .collect()
}

fn is_single_value(map: &Map) -> bool {
    map.kind == MapKind::Array && map.max_entries == 1
}
