//! The object as a standard BPF ELF file, and back.
//!
//! What other tools read is where they expect it: each program's entry in a section named after
//! its probe, subprograms and callbacks in `.text`, BTF-defined maps in `.maps`, arrays whose one
//! value is addressed directly in sections `.data.NAME` and `.rodata.NAME`, the licence, `.BTF`, and
//! `.BTF.ext` with functions and source lines. Instructions refer to maps and functions through
//! relocations. Section `.beetrace` holds everything else as JSON, after a version number.
//!
//! The file is the carrier of the instructions: reading takes them from their sections and
//! resolves their relocations. BTF and line info are derived, and not read back.

mod code;
mod names;
mod read;
mod types;
mod write;

pub use read::read;
pub use write::write;

/// Version of the tables in `.beetrace`.
const VERSION: u32 = 1;

/// Why an object could not be written, or a file not be read.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    #[error("not a readable ELF file: {0}")]
    Read(#[from] object::read::Error),
    #[error("cannot write an ELF file: {0}")]
    Write(#[from] object::write::Error),
    #[error("not a BPF object: the file is for another machine")]
    Machine,
    #[error("not made by beetrace: section .beetrace is missing")]
    NoTables,
    #[error(
        "the tables in section .beetrace have version {found}; this program reads version {VERSION}"
    )]
    Version { found: u32 },
    #[error("the tables in section .beetrace are wrong: {0}")]
    Tables(#[from] serde_json::Error),
    #[error("program {program}: {source}")]
    Decode {
        program: String,
        source: beetrace_isa::DecodeError,
    },
    #[error("program {program}: its functions do not follow each other")]
    Functions { program: String },
    #[error("program {program}: slot {slot} refers to {what}")]
    Reference {
        program: String,
        slot: u32,
        what: &'static str,
    },
    #[error("symbol {0} is missing, or outside its section")]
    Symbol(String),
    #[error("{0} refers to something that is not there")]
    Dangling(&'static str),
}
