//! Symbols of ELF files and of the vDSO, by offset in the file.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use beetrace_object::Config;
use blazesym::Pid;
use blazesym::symbolize::source::{Elf, Process, Source};
use blazesym::symbolize::{CodeInfo, Input, Sym, Symbolized, Symbolizer};

use super::maps::ProcessMaps;
use super::stack::Frame;

/// A file whose symbols can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId(u32);

/// The vDSO, which is no file but as like as one in every process.
pub(super) const VDSO: FileId = FileId(u32::MAX);

/// What makes two paths the same file, with the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

struct SymbolFile {
    path: PathBuf,
    plain: Source<'static>,
    detailed: Source<'static>,
}

/// Files whose symbols have been asked for. Nothing is opened before.
#[derive(Default)]
pub(super) struct Files {
    demangle: bool,
    debug_info: bool,
    symbolizer: Option<Symbolizer>,
    ids: HashMap<Identity, FileId>,
    files: Vec<SymbolFile>,
    frames: HashMap<(FileId, u64), Rc<[Frame]>>,
    /// Where the vDSO lies in this process, once it is asked for.
    vdso: Option<Option<u64>>,
}

/// Addresses whose frames are kept; a stack has mostly the same frames as those before it.
const MAX_FRAMES: usize = 1 << 15;

impl Files {
    pub(super) fn new(config: &Config) -> Files {
        Files {
            demangle: config.cpp_demangle,
            debug_info: config.show_debug_info,
            ..Files::default()
        }
    }

    /// The first of the paths that leads to a file. `inode`: what the file must be, 0 for any.
    pub(super) fn open(&mut self, paths: impl Iterator<Item = (PathBuf, u64)>) -> Option<FileId> {
        for (path, inode) in paths {
            let Ok(found) = fs::metadata(&path) else {
                continue;
            };
            if !found.is_file() || (inode != 0 && found.ino() != inode) {
                continue;
            }
            let identity = Identity {
                device: found.dev(),
                inode: found.ino(),
                size: found.size(),
                modified: (found.mtime(), found.mtime_nsec()),
            };
            if let Some(id) = self.ids.get(&identity) {
                return Some(*id);
            }
            let id = FileId(
                u32::try_from(self.files.len())
                    .ok()
                    .filter(|n| *n != VDSO.0)?,
            );
            let path = self.distinct(path);
            let elf = |debug_syms| {
                let mut elf = Elf::new(&path);
                elf.debug_syms = debug_syms;
                Source::Elf(elf)
            };
            self.files.push(SymbolFile {
                plain: elf(false),
                detailed: elf(self.debug_info),
                path,
            });
            self.ids.insert(identity, id);
            return Some(id);
        }
        None
    }

    /// A spelling of the path that is not in use: the symbolizer knows files by their path, and two files come to have the same
    /// one when a program is built anew during the run.
    fn distinct(&self, mut path: PathBuf) -> PathBuf {
        while self
            .files
            .iter()
            .any(|f| f.path.as_os_str() == path.as_os_str())
        {
            let mut longer = std::ffi::OsString::from("/.");
            longer.push(path);
            path = longer.into();
        }
        path
    }

    /// Opens the file now, because its path may soon lead nowhere.
    pub(super) fn hold(&mut self, id: FileId) {
        // No file is that long: nothing but the headers is read.
        self.symbolize(id, u64::MAX, false);
    }

    /// The functions at an offset, inlined ones first, innermost first. None where no symbol is known.
    pub(super) fn frames(&mut self, id: FileId, offset: u64) -> Rc<[Frame]> {
        if let Some(known) = self.frames.get(&(id, offset)) {
            return Rc::clone(known);
        }
        let found = self.symbolize(id, offset, true);
        let found = found.or_else(|| self.symbolize(id, offset, false));
        let frames: Rc<[Frame]> = found.unwrap_or_default().into();
        if self.frames.len() >= MAX_FRAMES {
            self.frames.clear();
        }
        self.frames.insert((id, offset), Rc::clone(&frames));
        frames
    }

    /// The name of the function at an offset, after the symbol table alone.
    pub(super) fn name(&mut self, id: FileId, offset: u64) -> Option<String> {
        self.symbolize(id, offset, false)
            .and_then(|frames| frames.into_iter().next_back())
            .map(|f| f.name)
    }

    fn symbolize(&mut self, id: FileId, offset: u64, detailed: bool) -> Option<Vec<Frame>> {
        let vdso = if id == VDSO {
            Some(self.vdso_start()?)
        } else {
            None
        };
        let (demangle, debug_info) = (self.demangle, self.debug_info);
        let symbolizer = self.symbolizer.get_or_insert_with(|| {
            Symbolizer::builder()
                // Paths may lead nowhere once a process has ended; `Identity` tells when a file has changed.
                .enable_auto_reload(false)
                .enable_demangling(demangle)
                .enable_code_info(debug_info)
                .enable_inlined_fns(debug_info)
                .build()
        });
        let found = match vdso {
            Some(start) => {
                let own = Source::Process(Process::new(Pid::Slf));
                symbolizer.symbolize_single(&own, Input::AbsAddr(start.checked_add(offset)?))
            }
            None => {
                let file = self.files.get(id.0 as usize)?;
                let source = if detailed {
                    &file.detailed
                } else {
                    &file.plain
                };
                symbolizer.symbolize_single(source, Input::FileOffset(offset))
            }
        };
        match found {
            Ok(Symbolized::Sym(sym)) => Some(frames_of(&sym)),
            // A file that is no ELF file, or broken: as good as one without symbols.
            Ok(Symbolized::Unknown(_)) | Err(_) => None,
        }
    }

    fn vdso_start(&mut self) -> Option<u64> {
        *self.vdso.get_or_insert_with(|| {
            let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
            let maps = ProcessMaps::parse(0, &maps);
            maps.iter().find(|m| &*m.path == "[vdso]").map(|m| m.start)
        })
    }

    /// Forgets all of it.
    pub(super) fn clear(&mut self) {
        *self = Files {
            demangle: self.demangle,
            debug_info: self.debug_info,
            ..Files::default()
        };
    }
}

fn frames_of(sym: &Sym<'_>) -> Vec<Frame> {
    let inlined = sym.inlined.iter().rev().map(|f| Frame {
        name: f.name.to_string(),
        offset: None,
        source: f.code_info.as_ref().map(place),
    });
    let outer = Frame {
        name: sym.name.to_string(),
        offset: Some(sym.offset as u64),
        source: sym.code_info.as_deref().map(place),
    };
    inlined.chain(std::iter::once(outer)).collect()
}

/// `directory/file:line`
fn place(info: &CodeInfo<'_>) -> String {
    let mut text = String::new();
    if let Some(folder) = &info.dir {
        let _ = write!(text, "{}/", folder.display());
    }
    let file = Path::new(&*info.file).display();
    let _ = write!(text, "{file}:{}", info.line.unwrap_or(0));
    text
}
