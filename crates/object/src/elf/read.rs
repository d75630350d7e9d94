//! Reading back.

use std::collections::HashMap;

use beetrace_isa::from_bytes;
use object::{
    Architecture, File, Object as _, ObjectSection, ObjectSymbol, RelocationFlags,
    RelocationTarget, SymbolIndex,
};

use super::code::{Function, Relocation, Target, join};
use super::names::{self, Names};
use super::{ElfError, VERSION};
use crate::{Layout, MapRole, Object, Record};

/// Reads an object that [`write`](super::write) wrote.
///
/// # Errors
/// If the file is something else, or anything in it refers to what is not there.
pub fn read(data: &[u8]) -> Result<Object, ElfError> {
    let file = File::parse(data)?;
    if file.architecture() != Architecture::Bpf || !file.is_little_endian() {
        return Err(ElfError::Machine);
    }
    let tables = file
        .section_by_name(names::TABLES)
        .ok_or(ElfError::NoTables)?;
    let mut object = parse_tables(tables.data()?)?;
    let names = Names::new(&object);
    let symbols = Symbols::new(&file, &names);
    for (idx, program) in object.programs.iter_mut().enumerate() {
        let functions = names
            .functions
            .get(idx)
            .into_iter()
            .flatten()
            .map(|name| symbols.function(idx, name))
            .collect::<Result<Vec<_>, _>>()?;
        let (insns, starts) = join(&program.name, &functions)?;
        program.insns = insns;
        for (function, start) in program.functions.iter_mut().zip(starts) {
            function.start = start;
        }
    }
    check(&object)?;
    Ok(object)
}

fn parse_tables(data: &[u8]) -> Result<Object, ElfError> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    #[derive(serde::Deserialize)]
    struct Tables {
        object: Object,
    }
    let Version { version } = serde_json::from_slice(data)?;
    if version != VERSION {
        return Err(ElfError::Version { found: version });
    }
    Ok(serde_json::from_slice::<Tables>(data)?.object)
}

/// What the file's symbols stand for.
struct Symbols<'a> {
    file: &'a File<'a>,
    by_name: HashMap<&'a str, SymbolIndex>,
    /// Maps, and functions with their programs.
    meanings: HashMap<SymbolIndex, (Option<usize>, Target)>,
}

impl<'a> Symbols<'a> {
    fn new(file: &'a File<'a>, names: &Names) -> Symbols<'a> {
        let by_name: HashMap<_, _> = file
            .symbols()
            .filter_map(|symbol| Some((symbol.name().ok()?, symbol.index())))
            .collect();
        let mut meanings = HashMap::new();
        for (idx, name) in names.maps.iter().enumerate() {
            if let Some(symbol) = by_name.get(name.as_str()) {
                let section = file.symbol_by_index(*symbol).ok();
                let section = section.and_then(|s| file.section_by_index(s.section_index()?).ok());
                let is_definition = section.is_some_and(|s| s.name() == Ok(names::MAPS));
                let target = match is_definition {
                    true => Target::Map(idx),
                    false => Target::Data(idx),
                };
                meanings.insert(*symbol, (None, target));
            }
        }
        for (program, functions) in names.functions.iter().enumerate() {
            for (idx, name) in functions.iter().enumerate() {
                if let Some(symbol) = by_name.get(name.as_str()) {
                    meanings.insert(*symbol, (Some(program), Target::Function(idx)));
                }
            }
        }
        Symbols {
            file,
            by_name,
            meanings,
        }
    }

    /// The slots of a function and what they refer to.
    fn function(&self, program: usize, name: &str) -> Result<Function, ElfError> {
        let missing = || ElfError::Symbol(name.to_owned());
        let symbol = self.by_name.get(name).ok_or_else(missing)?;
        let symbol = self.file.symbol_by_index(*symbol)?;
        let section = symbol.section_index().ok_or_else(missing)?;
        let section = self.file.section_by_index(section)?;
        let start = symbol.address();
        let end = start.checked_add(symbol.size()).ok_or_else(missing)?;
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let code = range
            .and_then(|(start, end)| section.data().ok()?.get(start..end))
            .ok_or_else(missing)?;
        let raw = from_bytes(code).map_err(|source| ElfError::Decode {
            program: name.to_owned(),
            source,
        })?;
        let mut relocations = Vec::new();
        for (offset, relocation) in section.relocations() {
            if !(start..end).contains(&offset) {
                continue;
            }
            let slot = u32::try_from((offset - start) / 8).map_err(|_| missing())?;
            let target = match relocation.target() {
                RelocationTarget::Symbol(index) => self.meanings.get(&index),
                _ => None,
            };
            let is_call = relocation.flags()
                == RelocationFlags::Elf {
                    r_type: object::elf::R_BPF_64_32,
                };
            let target = target
                .filter(|(owner, _)| owner.is_none_or(|owner| owner == program))
                .ok_or(ElfError::Dangling("a relocation"))?;
            relocations.push(Relocation {
                slot,
                target: target.1,
                is_call,
            });
        }
        Ok(Function { raw, relocations })
    }
}

/// Checks every index that the tables hold, as engines rely on them.
fn check(object: &Object) -> Result<(), ElfError> {
    let here = |ok: bool, what| {
        if ok {
            Ok(())
        } else {
            Err(ElfError::Dangling(what))
        }
    };
    for program in &object.programs {
        let count = program.insns.len();
        let lines = program.lines.iter().all(|l| (l.insn as usize) < count);
        here(lines, "a source line")?;
    }
    for record in &object.records {
        here(record_maps(record).all(|m| has_map(object, m)), "a record")?;
        let layouts = record.layouts().all(|l| layout_maps_exist(object, l));
        here(layouts, "a record")?;
    }
    for map in &object.maps {
        if let MapRole::User(user) = &map.role {
            let types = [&user.key, &user.value];
            here(types.iter().all(|l| layout_maps_exist(object, l)), "a map")?;
        }
    }
    Ok(())
}

fn has_map(object: &Object, map: u32) -> bool {
    (map as usize) < object.maps.len()
}

fn record_maps(record: &Record) -> impl Iterator<Item = u32> {
    use crate::Action::{ClearMap, PrintMap, PrintMapKey, ZeroMap};
    match record.action {
        PrintMap { map } | PrintMapKey { map } | ClearMap { map } | ZeroMap { map } => Some(map),
        _ => None,
    }
    .into_iter()
}

fn layout_maps_exist(object: &Object, layout: &Layout) -> bool {
    match layout {
        Layout::Stack(stack) => has_map(object, stack.frames),
        Layout::Array { of, .. } => layout_maps_exist(object, of),
        Layout::Tuple(a) | Layout::Record(a) | Layout::Struct(a) => a
            .members
            .iter()
            .all(|m| layout_maps_exist(object, &m.layout)),
        _ => true,
    }
}
