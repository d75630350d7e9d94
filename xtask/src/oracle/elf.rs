//! Reads BPF ELF objects as clang writes them: programs, maps, functions, lines.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use beetrace_btf::{Btf, BtfExt, Kind};
use beetrace_isa::{Insn, RawInsn, decode, from_bytes};
use beetrace_verifier::{FunctionDef, KernelFunction, LineDef, MapDef};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, SectionIndex};

use super::types;

/// An object file with what the programs in it share.
pub struct ElfObject<'a> {
    file: object::File<'a>,
    btf: Option<Btf>,
    ext: Option<BtfExt>,
    pub maps: Vec<MapDef>,
    /// Index of the map that a symbol of `.maps` names, by its offset there.
    map_offsets: HashMap<u64, u32>,
    /// Index of the map that holds a data section.
    data_maps: HashMap<SectionIndex, u32>,
}

/// A program that is ready to be verified.
pub struct ElfProgram {
    pub section: String,
    pub insns: std::result::Result<Vec<Insn>, beetrace_isa::DecodeError>,
    pub functions: Vec<FunctionDef>,
    pub lines: Vec<LineDef>,
    pub kernel_functions: Vec<KernelFunction>,
    /// Whether it has instructions that only Linux knows: casts of address spaces, `may_goto`.
    pub kernel_only: bool,
}

/// A function as bytes in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    section: SectionIndex,
    off: u64,
}

/// `src_reg` of the instructions that relocations fill.
const PSEUDO_MAP_IDX: u8 = 5;
const PSEUDO_MAP_IDX_VALUE: u8 = 6;
const PSEUDO_FUNC: u8 = 4;
const PSEUDO_CALL: u8 = 1;
const PSEUDO_KFUNC: u8 = 2;
const PSEUDO_BTF_ID: u8 = 3;
const CALL: u8 = 0x85;
const LD_IMM64: u8 = 0x18;
const MAY_GOTO: u8 = 0xe5;
const MOV: u8 = 0xbf;
const ADDRESS_SPACE_CAST: i16 = 1;

impl<'a> ElfObject<'a> {
    pub fn parse(data: &'a [u8]) -> Result<ElfObject<'a>> {
        let file = object::File::parse(data)?;
        let section = |name: &str| -> Option<Vec<u8>> {
            Some(file.section_by_name(name)?.data().ok()?.to_vec())
        };
        let btf = section(".BTF").map(Btf::parse).transpose()?;
        let ext = section(".BTF.ext")
            .map(|data| BtfExt::parse(&data))
            .transpose()?;
        let mut object = ElfObject {
            file,
            btf,
            ext,
            maps: Vec::new(),
            map_offsets: HashMap::new(),
            data_maps: HashMap::new(),
        };
        object.find_maps()?;
        Ok(object)
    }

    fn find_maps(&mut self) -> Result<()> {
        if let Some(btf) = &self.btf
            && let Some(section) = btf.find(Kind::DataSec, ".maps")
        {
            for (name, def) in types::maps(btf, section)? {
                let symbol = self
                    .file
                    .symbols()
                    .find(|s| s.name() == Ok(name.as_str()))
                    .with_context(|| format!("map {name} has no symbol"))?;
                self.map_offsets
                    .insert(symbol.address(), self.maps.len() as u32);
                self.maps.push(def);
            }
        }
        for section in self.file.sections() {
            let name = section.name()?;
            let data = [".data", ".bss", ".rodata"]
                .iter()
                .any(|p| name == *p || name.starts_with(&format!("{p}.")));
            if !data || section.size() == 0 {
                continue;
            }
            let size = u32::try_from(section.size())?;
            let mut map = MapDef::new(name, beetrace_verifier::map_type::ARRAY, 4, size, 1);
            if name.starts_with(".rodata") {
                map.frozen = Some(section.data()?.to_vec());
            }
            self.data_maps
                .insert(section.index(), self.maps.len() as u32);
            self.maps.push(map);
        }
        Ok(())
    }

    /// The program that starts at the symbol.
    pub fn program(&self, name: &str) -> Result<ElfProgram> {
        let symbol = self
            .file
            .symbols()
            .find(|s| s.name() == Ok(name) && s.kind() == object::SymbolKind::Text)
            .with_context(|| format!("no program {name}"))?;
        let index = symbol
            .section_index()
            .context("the program has no section")?;
        let section = self.file.section_by_index(index)?.name()?.to_owned();
        let entry = Place {
            section: index,
            off: symbol.address(),
        };
        let mut link = Link {
            object: self,
            raw: Vec::new(),
            starts: HashMap::new(),
            todo: vec![entry],
            calls: Vec::new(),
            functions: Vec::new(),
            lines: Vec::new(),
            kernel_functions: Vec::new(),
        };
        while let Some(place) = link.todo.pop() {
            if !link.starts.contains_key(&place) {
                link.append(place)?;
            }
        }
        link.resolve_calls()?;
        Ok(ElfProgram {
            section,
            insns: decode(&link.raw),
            kernel_only: link
                .raw
                .iter()
                .any(|i| i.code == MOV && i.off == ADDRESS_SPACE_CAST || i.code == MAY_GOTO),
            functions: link.functions,
            lines: link.lines,
            kernel_functions: link.kernel_functions,
        })
    }

    fn symbol_at(&self, place: Place) -> Option<(String, u64, bool)> {
        let s = self.file.symbols().find(|s| {
            s.kind() == object::SymbolKind::Text
                && s.section_index() == Some(place.section)
                && s.address() == place.off
                && s.size() > 0
        })?;
        let hidden = matches!(
            s.flags(),
            object::SymbolFlags::Elf { st_other, .. } if st_other.0 & 3 == 2
        );
        Some((s.name().ok()?.to_owned(), s.size(), s.is_local() || hidden))
    }
}

/// A program that is being put together.
struct Link<'o, 'a> {
    object: &'o ElfObject<'a>,
    raw: Vec<RawInsn>,
    /// The slot at which each function starts.
    starts: HashMap<Place, usize>,
    todo: Vec<Place>,
    /// Slots of calls, and what they call.
    calls: Vec<(usize, Place)>,
    functions: Vec<FunctionDef>,
    lines: Vec<LineDef>,
    /// Those that are called, with ids of our own.
    kernel_functions: Vec<KernelFunction>,
}

impl Link<'_, '_> {
    fn append(&mut self, place: Place) -> Result<()> {
        let object = self.object;
        let section = object.file.section_by_index(place.section)?;
        let (name, size, is_static) = object.symbol_at(place).with_context(|| {
            format!(
                "no function at {:#x} of {}",
                place.off,
                section.name().unwrap_or("?")
            )
        })?;
        let end = place.off + size;
        let bytes = section
            .data()?
            .get(place.off as usize..end as usize)
            .context("a function ends behind its section")?;
        let start = self.raw.len();
        self.starts.insert(place, start);
        self.raw.extend(from_bytes(bytes)?);
        self.functions.push(FunctionDef {
            linkage: types::linkage(object.btf.as_ref(), &name, is_static),
            returns_int: types::returns_int(object.btf.as_ref(), &name),
            name,
            start: start as u32,
        });
        self.add_lines(section.name()?, place.off, end, start);
        let mut relocated = Vec::new();
        for (off, relocation) in section.relocations() {
            if (place.off..end).contains(&off) {
                let slot = start + ((off - place.off) / 8) as usize;
                relocated.push(slot);
                self.relocate(slot, &relocation)?;
            }
        }
        // Calls within the section need no relocation.
        for slot in start..self.raw.len() {
            let Some(insn) = self.raw.get(slot).copied() else {
                continue;
            };
            if insn.code == CALL && insn.src() == PSEUDO_CALL && !relocated.contains(&slot) {
                let at = place.off as i64 + (slot - start) as i64 * 8;
                let off = at + 8 + i64::from(insn.imm) * 8;
                let callee = Place {
                    section: place.section,
                    off: off as u64,
                };
                self.calls.push((slot, callee));
                self.todo.push(callee);
            }
        }
        Ok(())
    }

    fn relocate(&mut self, slot: usize, relocation: &object::Relocation) -> Result<()> {
        let object = self.object;
        let object::RelocationTarget::Symbol(index) = relocation.target() else {
            bail!("a relocation without a symbol");
        };
        let RelocationFlags::Elf { .. } = relocation.flags() else {
            bail!("not an ELF relocation");
        };
        let symbol = object.file.symbol_by_index(index)?;
        let insn = *self
            .raw
            .get(slot)
            .context("a relocation outside of its function")?;
        let section = symbol.section_index();
        if insn.code == CALL {
            let Some(section) = section else {
                let name = symbol.name()?;
                let known = self.kernel_functions.iter().find(|f| f.name == name);
                let btf_id = known.map_or(self.kernel_functions.len() as u32 + 1, |f| f.btf_id);
                if known.is_none() {
                    self.kernel_functions.push(KernelFunction {
                        btf_id,
                        name: name.to_owned(),
                    });
                }
                self.set(slot, PSEUDO_KFUNC, btf_id as i32);
                return Ok(());
            };
            let off = if symbol.kind() == object::SymbolKind::Section {
                (i64::from(insn.imm) + 1) * 8
            } else {
                symbol.address() as i64 + (i64::from(insn.imm) + 1) * 8
            };
            let callee = Place {
                section,
                off: off as u64,
            };
            self.calls.push((slot, callee));
            self.todo.push(callee);
            return Ok(());
        }
        if insn.code != LD_IMM64 {
            bail!("a relocation of opcode {:#x}", insn.code);
        }
        let Some(section) = section else {
            self.set(slot, PSEUDO_BTF_ID, 1);
            return Ok(());
        };
        if object.file.section_by_index(section)?.name()? == ".maps" {
            let map = object
                .map_offsets
                .get(&symbol.address())
                .context("a reference to no map")?;
            self.set(slot, PSEUDO_MAP_IDX, *map as i32);
        } else if let Some(map) = object.data_maps.get(&section) {
            let off = symbol.address() as i32 + insn.imm;
            self.set(slot, PSEUDO_MAP_IDX_VALUE, *map as i32);
            if let Some(second) = self.raw.get_mut(slot + 1) {
                second.imm = off;
            }
        } else {
            let off = symbol.address() + insn.imm as u64;
            let callee = Place { section, off };
            self.set(slot, PSEUDO_FUNC, 0);
            self.calls.push((slot, callee));
            self.todo.push(callee);
        }
        Ok(())
    }

    fn set(&mut self, slot: usize, src: u8, imm: i32) {
        if let Some(insn) = self.raw.get_mut(slot) {
            insn.regs = insn.dst() | (src << 4);
            insn.imm = imm;
        }
    }

    fn resolve_calls(&mut self) -> Result<()> {
        for (slot, callee) in std::mem::take(&mut self.calls) {
            let start = *self.starts.get(&callee).context("a call of nothing")?;
            let distance = start as i32 - slot as i32 - 1;
            if let Some(insn) = self.raw.get_mut(slot) {
                insn.imm = distance;
            }
        }
        Ok(())
    }

    fn add_lines(&mut self, section: &str, from: u64, to: u64, start: usize) {
        let (Some(btf), Some(ext)) = (&self.object.btf, &self.object.ext) else {
            return;
        };
        for part in &ext.line_info {
            if btf.string(part.name_off) != Some(section) {
                continue;
            }
            for row in &part.rows {
                let off = u64::from(row.insn_off);
                if (from..to).contains(&off) {
                    self.lines.push(LineDef {
                        slot: (start as u64 + (off - from) / 8) as u32,
                        file: btf.string(row.file_name_off).unwrap_or("").to_owned(),
                        line: row.line,
                        column: row.column,
                        text: btf.string(row.line_off).unwrap_or("").to_owned(),
                    });
                }
            }
        }
    }
}
