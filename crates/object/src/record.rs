//! What programs say to user space.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Aggregate, Layout, SourceSpan};

/// Bytes before a record's fields: `u32` index into `Object::records`, `u32` zero.
pub const RECORD_HEADER: u32 = 8;

/// A kind of record: what to do when one arrives, and how its fields lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub action: Action,
    /// Fields behind the header; offsets count from the start of the fields, `fields.size` is without the header.
    pub fields: Arc<Aggregate>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// `printf`, `errorf`, `warnf`, `system`, `cat`: the fields are the arguments in order.
    Format {
        format: Format,
        to: Destination,
        span: SourceSpan,
    },
    /// `print(value)`: one field.
    PrintValue,
    /// `print(@map)`: two fields, `u32` top and `u32` div, zero for none.
    PrintMap {
        map: u32,
    },
    /// `print(@map[key])`: two fields, the key and the value as it was when printed.
    PrintMapKey {
        map: u32,
    },
    ClearMap {
        map: u32,
    },
    ZeroMap {
        map: u32,
    },
    /// `exit(code)`: one field, the code as an 8-byte number.
    Exit,
    /// `time(format)`: no fields.
    Time {
        format: String,
    },
    /// `join(argv, separator)`: one field, an array of strings, of which the empty ones at the end are absent.
    Join {
        separator: String,
    },
    /// `unwatch(address)`: one field, the address.
    Unwatch,
    /// `skboutput(path, …)`: fields are `u64` time and the packet as a buffer.
    Packet {
        path: String,
    },
    /// A helper failed: one field, its `i32` result.
    HelperFailed {
        helper: u32,
        span: SourceSpan,
        severity: FailureSeverity,
    },
    /// Something that a program finds while it runs, such as an index out of bounds: no fields.
    RuntimeMessage {
        text: String,
        span: SourceSpan,
        is_error: bool,
    },
}

/// When a helper's failure is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureSeverity {
    /// Always: a lost map update, a `delete` of a key that is not there.
    Always,
    /// With `-k`.
    Verbose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    Output,
    /// `errorf`: an error message with the place in the script.
    Error,
    /// `warnf`
    Warning,
    /// `system`: a command for the shell.
    System,
    /// `cat`: a path.
    Cat,
}

/// A format string, taken apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Format {
    pub pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Piece {
    Text(String),
    Conversion(Conversion),
}

/// One `%…` of a format string.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conversion {
    pub left: bool,
    pub zero: bool,
    pub plus: bool,
    pub space: bool,
    pub alternate: bool,
    pub width: Option<u32>,
    pub precision: Option<u32>,
    /// Bits that `hh`, `h`, `l`, `ll`, `j`, `z`, `t` leave of an integer.
    pub bits: Option<u8>,
    pub kind: ConversionKind,
    /// The conversion as written, e.g. `%-6d`.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConversionKind {
    /// `%d`, `%i`
    Signed,
    /// `%u`
    Unsigned,
    /// `%x`
    Hex,
    /// `%X`
    HexUpper,
    /// `%o`
    Octal,
    /// `%p`
    Pointer,
    /// `%c`
    Char,
    /// `%s`
    Str,
    /// `%r`, `%rx`, `%rh`
    Buf(BufStyle),
    /// `%gr`
    GfpFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BufStyle {
    /// Printable bytes as they are, others as `\x00`.
    Mixed,
    /// `\x00` for every byte.
    Escaped,
    /// `00 ff`
    Spaced,
}

impl Record {
    /// Size in bytes with the header, a multiple of eight.
    pub fn size(&self) -> u32 {
        (RECORD_HEADER + self.fields.size).next_multiple_of(8)
    }

    /// The fields' layouts in order.
    pub fn layouts(&self) -> impl Iterator<Item = &Layout> {
        self.fields.members.iter().map(|m| &m.layout)
    }
}
