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
use blazesym::symbolize::{CodeInfo, Input, Sym, Symbolized, Symbolizer, evict};

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
    identity: Identity,
    /// When it was used last; 0 where it is not open.
    used: u64,
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
    /// Counts uses of files.
    clock: u64,
    frames: HashMap<(FileId, u64), Rc<[Frame]>>,
    /// Where the vDSO lies in this process, once it is asked for.
    vdso: Option<Option<u64>>,
}

/// Addresses whose frames are kept; a stack has mostly the same frames as those before it.
const MAX_FRAMES: usize = 1 << 15;

/// Files that are open at a time, each with a descriptor and what was read of its symbols.
const MAX_OPEN: usize = 128;

impl Identity {
    fn of(found: &fs::Metadata) -> Identity {
        Identity {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        }
    }
}

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
            let identity = Identity::of(&found);
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
                identity,
                used: 0,
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
        let found = if id == VDSO {
            let address = self.vdso_start()?.checked_add(offset)?;
            let own = Source::Process(Process::new(Pid::Slf));
            self.symbolizer()
                .symbolize_single(&own, Input::AbsAddr(address))
        } else {
            self.make_ready(id)?;
            let file = self.files.get(id.0 as usize)?;
            let source = if detailed {
                &file.detailed
            } else {
                &file.plain
            };
            let symbolizer = self.symbolizer.as_ref()?;
            symbolizer.symbolize_single(source, Input::FileOffset(offset))
        };
        match found {
            Ok(Symbolized::Sym(sym)) => Some(frames_of(&sym)),
            // A file that is no ELF file, or broken: as good as one without symbols.
            Ok(Symbolized::Unknown(_)) | Err(_) => None,
        }
    }

    fn symbolizer(&mut self) -> &mut Symbolizer {
        let (demangle, debug_info) = (self.demangle, self.debug_info);
        self.symbolizer.get_or_insert_with(|| {
            Symbolizer::builder()
                // Paths may lead nowhere once a process has ended; `Identity` tells when a file has changed.
                .enable_auto_reload(false)
                .enable_demangling(demangle)
                .enable_code_info(debug_info)
                .enable_inlined_fns(debug_info)
                .build()
        })
    }

    /// Sees to it that there is a symbolizer that may open the file, and that the file still is what it was when it was found.
    fn make_ready(&mut self, id: FileId) -> Option<()> {
        self.clock += 1;
        let clock = self.clock;
        let file = self.files.get_mut(id.0 as usize)?;
        let was_open = std::mem::replace(&mut file.used, clock) != 0;
        if !was_open {
            let found = fs::metadata(&file.path).ok();
            if found.is_none_or(|f| Identity::of(&f) != file.identity) {
                file.used = 0;
                return None;
            }
            self.close_oldest();
        }
        self.symbolizer();
        Some(())
    }

    /// Makes room for one more open file.
    fn close_oldest(&mut self) {
        let open = || self.files.iter().filter(|f| f.used != 0);
        if open().count() <= MAX_OPEN {
            return;
        }
        let oldest = self.files.iter_mut().filter(|f| f.used != 0);
        if let (Some(oldest), Some(symbolizer)) =
            (oldest.min_by_key(|f| f.used), &mut self.symbolizer)
        {
            oldest.used = 0;
            // It fails for no file.
            let _ = symbolizer.evict(&evict::Elf::new(&oldest.path).into());
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
