//! What can be wrong with BTF.

use std::path::PathBuf;

use crate::TypeId;

/// Why BTF could not be opened, or a type not be read.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    #[error("cannot read BTF from {}: {source}", path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The data does not start with BTF's magic number in the machine's byte order.
    #[error("not BTF: magic number {0:#06x} instead of 0xeb9f")]
    Magic(u16),
    #[error("BTF version {0} is unknown")]
    Version(u8),
    /// A section or a record reaches beyond the data.
    #[error("BTF is truncated: {0} does not fit into the data")]
    Truncated(&'static str),
    /// A type of a kind that is not in include/uapi/linux/btf.h; what follows cannot be found.
    #[error("BTF type {id} is of the unknown kind {kind}")]
    Kind { id: TypeId, kind: u8 },
    #[error("BTF has no type {0}")]
    NoType(TypeId),
    /// Types refer to each other in a circle, or too deeply to be meant.
    #[error("BTF type {0} refers to itself")]
    Cycle(TypeId),
    /// A type that occupies no memory, such as a function or a forward declaration.
    #[error("BTF type {0} has no size")]
    NoSize(TypeId),
    /// The definition of a type, written out, is longer than any that is meant.
    #[error("the definition of a BTF type takes more than {0} lines")]
    Lines(usize),
}
