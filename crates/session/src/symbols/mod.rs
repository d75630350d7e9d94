//! Symbols of the kernel, of processes that live, and of processes that lived.
//!
//! Nothing is opened or read before it is asked for. User addresses go through what a process has mapped (read from `/proc`
//! while it lives, or recorded from events) to a file and an offset in it, so that a file's symbols are read once for all
//! the processes that map it, and last longer than they do.

mod files;
mod jit;
mod kernel;
mod maps;
mod processes;
mod stack;

use std::os::fd::RawFd;
use std::path::Path;
use std::rc::Rc;

use beetrace_object::{Config, Event, Program, SymbolCache, UprobeTarget};

use files::{FileId, Files};
pub use kernel::KernelSymbols;
pub use maps::{MappedFile, ProcessMaps};
use processes::{Place, Processes};
pub use stack::{Frame, Symbolized, address, addresses, text};

/// What happens to the memory of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// A part of a file is mapped, executable.
    Map(MappedFile),
    /// The process runs another binary from now on.
    Exec(u32),
    /// A child has come to be, with the memory of its parent.
    Fork {
        parent: u32,
        child: u32,
    },
    Exit(u32),
}

/// Where events come from.
pub trait ProcessSource {
    /// Files that become readable when there is much to drain.
    fn fds(&self) -> Vec<RawFd>;
    /// Gives all events so far, in the order in which they happened.
    fn drain(&mut self, sink: &mut dyn FnMut(ProcessEvent));
}

/// All symbols of a run.
pub struct Symbols<'o> {
    programs: &'o [Program],
    cache: bool,
    kernel: Option<KernelSymbols>,
    processes: Processes,
    files: Files,
}

impl<'o> Symbols<'o> {
    /// `programs`: whose uprobes tell what an address is of a process that is gone.
    pub fn new(config: &Config, programs: &'o [Program]) -> Symbols<'o> {
        Symbols {
            programs,
            cache: config.cache_user_symbols != SymbolCache::None,
            kernel: None,
            processes: Processes::default(),
            files: Files::new(config),
        }
    }

    /// The kernel function that holds an address, and how far behind its start.
    pub fn kernel(&mut self, address: u64) -> Option<(&str, u64)> {
        let kernel = self
            .kernel
            .get_or_insert_with(|| KernelSymbols::load().unwrap_or_default());
        kernel.find(address)
    }

    /// A kernel address of a stack.
    pub fn kernel_frame(&mut self, address: u64) -> Symbolized {
        let frame = self.kernel(address).map(|(name, offset)| Frame {
            name: name.to_owned(),
            offset: Some(offset),
            source: None,
        });
        Symbolized {
            frames: frame.into_iter().collect(),
            module: None,
        }
    }

    /// The name of the function that holds an address of a process, which `program` took.
    pub fn user(&mut self, address: u64, pid: u32, program: u32) -> Option<String> {
        self.processes.prepare(pid);
        let name = match self.processes.find(pid, address, &mut self.files) {
            Place::File {
                file: Some(file),
                offset,
                ..
            } => self.files.name(file, offset),
            Place::File { file: None, .. } => None,
            Place::Jit { name, .. } => Some(name),
            Place::Unknown => {
                let programs = self.programs.get(program as usize..).unwrap_or_default();
                let own = programs.get(..1).unwrap_or_default();
                let guess = guess(own, address, &mut self.files);
                guess.and_then(|g| self.files.name(g.file, g.offset_of(address)?))
            }
        };
        self.end_of_lookup();
        name
    }

    /// The addresses of a user stack, in its order.
    pub fn user_frames(&mut self, addresses: &[u64], pid: u32) -> Vec<Symbolized> {
        self.processes.prepare(pid);
        let mut guessed = None;
        let frames = addresses
            .iter()
            .map(|&address| {
                let place = self.processes.find(pid, address, &mut self.files);
                match place {
                    Place::File { file, offset, path } => {
                        let frames = file.map(|f| self.files.frames(f, offset));
                        Symbolized {
                            frames: frames.unwrap_or_default(),
                            module: Some(path),
                        }
                    }
                    Place::Jit { name, offset } => Symbolized {
                        frames: Rc::new([Frame {
                            name,
                            offset: Some(offset),
                            source: None,
                        }]),
                        module: None,
                    },
                    Place::Unknown => {
                        let guess = guessed.get_or_insert_with(|| {
                            // The innermost address of a uprobe's stack is the probe's own.
                            let innermost = addresses.first().copied().unwrap_or(0);
                            guess(self.programs, innermost, &mut self.files)
                        });
                        let place = guess
                            .as_ref()
                            .and_then(|g| Some((g, g.offset_of(address)?)));
                        match place {
                            Some((g, offset)) => {
                                let frames = self.files.frames(g.file, offset);
                                let module = (!frames.is_empty()).then(|| Rc::clone(&g.path));
                                Symbolized { frames, module }
                            }
                            None => Symbolized::default(),
                        }
                    }
                }
            })
            .collect();
        self.end_of_lookup();
        frames
    }

    /// Reads now what a process has mapped, so that its addresses can be told when it has ended.
    pub fn preload(&mut self, pid: u32) {
        if self.cache {
            self.processes.preload(pid, &mut self.files);
        }
    }

    /// Takes note of an event.
    pub fn event(&mut self, event: ProcessEvent) {
        match event {
            ProcessEvent::Map(mapping) => self.processes.map(mapping),
            ProcessEvent::Exec(pid) => self.processes.exec(pid),
            ProcessEvent::Fork { parent, child } => self.processes.fork(parent, child),
            ProcessEvent::Exit(pid) => self.processes.exit(pid),
        }
    }

    fn end_of_lookup(&mut self) {
        if !self.cache {
            self.files.clear();
            self.processes.clear();
        }
    }
}

/// Where a probe's binary lies in the memory of a process that nothing else is known of.
struct Guess {
    file: FileId,
    path: Rc<str>,
    /// An address minus its offset in the file.
    base: u64,
}

impl Guess {
    fn offset_of(&self, address: u64) -> Option<u64> {
        address.checked_sub(self.base)
    }
}

/// Binaries are mapped by whole pages: an address and its offset in the file agree in the bits below.
const PAGE_BITS: u64 = 0xfff;

/// Takes an address for that of a uprobe of the programs, if it can be of one only.
fn guess(programs: &[Program], address: u64, files: &mut Files) -> Option<Guess> {
    let mut found: Option<(&Path, &UprobeTarget)> = None;
    for probe in programs.iter().flat_map(|p| &p.probes) {
        let (path, targets) = match &probe.event {
            Event::Uprobe(u) => (&u.path, &u.targets),
            Event::Usdt(u) => (&u.path, &u.targets),
            _ => continue,
        };
        for target in targets {
            if (target.offset ^ address) & PAGE_BITS != 0 {
                continue;
            }
            match found {
                Some((p, t)) if p != path || t.offset != target.offset => return None,
                _ => found = Some((path, target)),
            }
        }
    }
    let (path, target) = found?;
    Some(Guess {
        base: address.checked_sub(target.offset)?,
        file: files.open(std::iter::once((path.to_owned(), 0)))?,
        path: Rc::from(path.to_string_lossy()),
    })
}

#[cfg(test)]
mod tests;
