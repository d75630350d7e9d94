//! ELF files, read piece by piece.

use std::cell::OnceCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object::elf::{STT_FUNC, STT_GNU_IFUNC, STT_OBJECT};
use object::read::ReadCache;
use object::{
    Object, ObjectKind, ObjectSection, ObjectSegment, ObjectSymbol, ReadRef, SymbolFlags,
};

use super::zip;
use crate::world::{Binary, ElfSymbol, UsdtNote, WorldError};

/// Where distributions keep what they strip from binaries.
const DEBUG_DIR: &str = "/usr/lib/debug";

struct Segment {
    address: u64,
    file_offset: u64,
    file_len: u64,
}

struct ElfFile {
    /// The file itself, or the archive that holds it.
    path: PathBuf,
    cache: ReadCache<File>,
    /// Where in the file the ELF data is.
    start: u64,
    len: u64,
    segments: Vec<Segment>,
    is_dynamic: bool,
    debug: OnceCell<Option<DebugFile>>,
}

/// The file with the symbols that a binary was stripped of.
struct DebugFile {
    cache: ReadCache<File>,
}

pub(super) fn open(path: &Path) -> Result<Arc<dyn Binary>, WorldError> {
    let fail = |why: String| WorldError {
        message: format!("cannot read {}: {why}", path.display()),
        help: None,
    };
    let (file, member) = match zip::split(path) {
        Some((archive, member)) if !path.exists() => (archive, Some(member)),
        _ => (path.to_owned(), None),
    };
    let cache = ReadCache::new(File::open(&file).map_err(|e| fail(e.to_string()))?);
    let (start, len) = match &member {
        None => (
            0,
            (&cache)
                .len()
                .map_err(|()| fail("its length is unknown".into()))?,
        ),
        Some(member) => zip::member(&cache, member)
            .ok_or_else(|| fail(format!("{member} is not in the archive, or compressed")))?,
    };
    let (segments, is_dynamic) = {
        let elf = object::File::parse(cache.range(start, len)).map_err(|e| fail(e.to_string()))?;
        let segments = elf
            .segments()
            .map(|segment| {
                let (file_offset, file_len) = segment.file_range();
                Segment {
                    address: segment.address(),
                    file_offset,
                    file_len,
                }
            })
            .collect();
        (segments, elf.kind() == ObjectKind::Dynamic)
    };
    #[expect(
        clippy::arc_with_non_send_sync,
        reason = "the trait says `Arc` for worlds that share binaries; this one stays on its thread"
    )]
    Ok(Arc::new(ElfFile {
        path: file,
        cache,
        start,
        len,
        segments,
        is_dynamic,
        debug: OnceCell::new(),
    }))
}

impl ElfFile {
    fn error(&self, why: impl std::fmt::Display) -> WorldError {
        WorldError {
            message: format!("cannot read {}: {why}", self.path.display()),
            help: None,
        }
    }

    fn data(&self) -> object::read::ReadCacheRange<'_, File> {
        self.cache.range(self.start, self.len)
    }

    /// Gives all symbols to `take`, until it has enough.
    fn each_symbol(&self, take: &mut dyn FnMut(&str, Symbol) -> bool) -> Result<(), WorldError> {
        let elf = object::File::parse(self.data()).map_err(|e| self.error(e))?;
        if !symbols_of(elf.symbols(), take) || !symbols_of(elf.dynamic_symbols(), take) {
            return Ok(());
        }
        if elf.section_by_name(".symtab").is_none() {
            let debug = self.debug.get_or_init(|| self.find_debug_file(&elf));
            if let Some(debug) = debug
                && let Ok(elf) = object::File::parse(&debug.cache)
            {
                symbols_of(elf.symbols(), take);
            }
        }
        Ok(())
    }

    /// By build id, or else by the name that the binary gives.
    fn find_debug_file<'a>(&self, elf: &object::File<'a, impl ReadRef<'a>>) -> Option<DebugFile> {
        let mut candidates = Vec::new();
        if let Ok(Some(id)) = elf.build_id()
            && let Some((first, rest)) = id.split_first()
        {
            let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
            let name = format!(".build-id/{first:02x}/{rest}.debug");
            candidates.push(Path::new(DEBUG_DIR).join(name));
        }
        if let Ok(Some((name, _))) = elf.gnu_debuglink()
            && let Ok(name) = std::str::from_utf8(name)
            && let Ok(own) = self.path.canonicalize()
            && let Some(folder) = own.parent()
        {
            candidates.push(folder.join(name));
            candidates.push(folder.join(".debug").join(name));
            let below = folder.strip_prefix("/").unwrap_or(folder);
            candidates.push(Path::new(DEBUG_DIR).join(below).join(name));
        }
        candidates.into_iter().find_map(|path| {
            let cache = ReadCache::new(File::open(path).ok()?);
            object::File::parse(&cache).ok()?;
            Some(DebugFile { cache })
        })
    }
}

struct Symbol {
    address: u64,
    size: u64,
    is_function: bool,
}

/// Gives symbols with an address to `take`; `false` when it has enough.
fn symbols_of<'a>(
    symbols: impl Iterator<Item = impl ObjectSymbol<'a>>,
    take: &mut dyn FnMut(&str, Symbol) -> bool,
) -> bool {
    for symbol in symbols {
        let SymbolFlags::Elf { st_info, .. } = symbol.flags() else {
            continue;
        };
        let kind = st_info.st_type();
        if symbol.is_undefined()
            || symbol.address() == 0
            || !matches!(kind, STT_FUNC | STT_GNU_IFUNC | STT_OBJECT)
        {
            continue;
        }
        let Ok(name) = symbol.name() else { continue };
        // Versions are part of some names in `.symtab`.
        let name = name.split_once('@').map_or(name, |(name, _)| name);
        let found = Symbol {
            address: symbol.address(),
            size: symbol.size(),
            is_function: kind != STT_OBJECT,
        };
        if !name.is_empty() && !take(name, found) {
            return false;
        }
    }
    true
}

impl Binary for ElfFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn symbols(&self) -> Result<Vec<ElfSymbol>, WorldError> {
        let mut found = Vec::new();
        let mut seen = std::collections::HashSet::new();
        self.each_symbol(&mut |name, symbol| {
            if seen.insert((name.to_owned(), symbol.address)) {
                found.push(ElfSymbol {
                    name: name.to_owned(),
                    address: symbol.address,
                    size: symbol.size,
                    is_function: symbol.is_function,
                });
            }
            true
        })?;
        Ok(found)
    }

    fn symbol(&self, wanted: &str) -> Result<Option<ElfSymbol>, WorldError> {
        let mut found: Option<ElfSymbol> = None;
        self.each_symbol(&mut |name, symbol| {
            if name != wanted {
                return true;
            }
            if symbol.is_function || found.is_none() {
                found = Some(ElfSymbol {
                    name: name.to_owned(),
                    address: symbol.address,
                    size: symbol.size,
                    is_function: symbol.is_function,
                });
            }
            !symbol.is_function
        })?;
        Ok(found)
    }

    fn file_offset(&self, address: u64) -> Option<u64> {
        self.segments.iter().find_map(|segment| {
            let at = address.checked_sub(segment.address)?;
            if at >= segment.file_len {
                return None;
            }
            segment.file_offset.checked_add(at)?.checked_add(self.start)
        })
    }

    fn address(&self, file_offset: u64) -> Option<u64> {
        let own = file_offset.checked_sub(self.start)?;
        self.segments.iter().find_map(|segment| {
            let at = own.checked_sub(segment.file_offset)?;
            if at >= segment.file_len {
                return None;
            }
            segment.address.checked_add(at)
        })
    }

    fn usdt_notes(&self) -> Result<Vec<UsdtNote>, WorldError> {
        let elf = object::File::parse(self.data()).map_err(|e| self.error(e))?;
        let Some(section) = elf.section_by_name(".note.stapsdt") else {
            return Ok(Vec::new());
        };
        let bytes = section.data().map_err(|e| self.error(e))?;
        // Where the section is now; a note says where it was when the addresses were written.
        let base = elf.section_by_name(".stapsdt.base").map(|s| s.address());
        let word = if elf.is_64() { 8 } else { 4 };
        Ok(crate::usdt::notes(bytes, word, base))
    }

    fn is_position_independent(&self) -> bool {
        self.is_dynamic
    }

    fn read(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        let offset = self.file_offset(address)?;
        let bytes = (&self.cache).read_bytes_at(offset, len as u64).ok()?;
        Some(bytes.to_vec())
    }
}
