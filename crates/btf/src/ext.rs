//! `.BTF.ext`: which function and which source line an instruction belongs to, and which
//! instructions depend on the layout of kernel types (Documentation/bpf/btf.rst, section
//! ".BTF.ext section"; `struct bpf_func_info`, `bpf_line_info` and `bpf_core_relo` of
//! include/uapi/linux/bpf.h).

use crate::raw::{MAGIC, VERSION, u32_at};
use crate::{BtfBuilder, BtfError, TypeId};

/// Bytes of `struct btf_ext_header` with CO-RE relocations.
const HEADER_LEN: u32 = 32;

/// The function that starts at an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncInfo {
    /// Bytes from the start of the section in `.BTF.ext`, slots when given to the kernel.
    pub insn_off: u32,
    /// Its [`Type::Func`](crate::Type::Func).
    pub type_id: TypeId,
}

/// The source line that an instruction and those behind it come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineInfo {
    /// Bytes from the start of the section in `.BTF.ext`, slots when given to the kernel.
    pub insn_off: u32,
    /// Offset of the file's name in the string section.
    pub file_name_off: u32,
    /// Offset of the line's text in the string section.
    pub line_off: u32,
    /// Number of the line from 1, below 2²².
    pub line: u32,
    /// Number of the column from 1, below 2¹⁰.
    pub column: u32,
}

/// A dependence of an instruction on a type of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreRelo {
    /// Bytes from the start of the section.
    pub insn_off: u32,
    /// The type as the program declares it.
    pub type_id: TypeId,
    /// Offset of the access string, such as `0:1:2`, in the string section.
    pub access_str_off: u32,
    pub kind: CoreKind,
}

/// What the instruction needs to know of the type (`enum bpf_core_relo_kind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CoreKind {
    FieldByteOffset = 0,
    FieldByteSize = 1,
    FieldExists = 2,
    FieldSigned = 3,
    FieldLshift = 4,
    FieldRshift = 5,
    TypeIdLocal = 6,
    TypeIdTarget = 7,
    TypeExists = 8,
    TypeSize = 9,
    EnumvalExists = 10,
    EnumvalValue = 11,
    TypeMatches = 12,
}

impl CoreKind {
    fn new(code: u32) -> Option<CoreKind> {
        Some(match code {
            0 => CoreKind::FieldByteOffset,
            1 => CoreKind::FieldByteSize,
            2 => CoreKind::FieldExists,
            3 => CoreKind::FieldSigned,
            4 => CoreKind::FieldLshift,
            5 => CoreKind::FieldRshift,
            6 => CoreKind::TypeIdLocal,
            7 => CoreKind::TypeIdTarget,
            8 => CoreKind::TypeExists,
            9 => CoreKind::TypeSize,
            10 => CoreKind::EnumvalExists,
            11 => CoreKind::EnumvalValue,
            12 => CoreKind::TypeMatches,
            _ => return None,
        })
    }
}

/// A record of one of the three tables.
trait Row: Sized {
    /// Words of the record.
    const WORDS: usize;
    fn write(&self, out: &mut Vec<u8>);
    fn read(words: &[u32]) -> Option<Self>;
}

fn put(out: &mut Vec<u8>, words: &[u32]) {
    out.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
}

impl FuncInfo {
    /// Bytes of a record.
    pub const SIZE: u32 = 8;

    /// The record as `struct bpf_func_info`.
    pub fn to_bytes(self) -> [u8; 8] {
        let mut out = [0; 8];
        let words = [self.insn_off, self.type_id.0];
        for (to, word) in out.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        out
    }
}

impl LineInfo {
    /// Bytes of a record.
    pub const SIZE: u32 = 16;

    /// The record as `struct bpf_line_info`.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut out = [0; 16];
        let place = self.line.min(0x3f_ffff) << 10 | self.column.min(0x3ff);
        let words = [self.insn_off, self.file_name_off, self.line_off, place];
        for (to, word) in out.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        out
    }
}

impl Row for FuncInfo {
    const WORDS: usize = 2;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }

    fn read(words: &[u32]) -> Option<FuncInfo> {
        let [insn_off, type_id] = *words.first_chunk()?;
        Some(FuncInfo {
            insn_off,
            type_id: TypeId(type_id),
        })
    }
}

impl Row for LineInfo {
    const WORDS: usize = 4;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }

    fn read(words: &[u32]) -> Option<LineInfo> {
        let [insn_off, file_name_off, line_off, place] = *words.first_chunk()?;
        Some(LineInfo {
            insn_off,
            file_name_off,
            line_off,
            line: place >> 10,
            column: place & 0x3ff,
        })
    }
}

impl Row for CoreRelo {
    const WORDS: usize = 4;

    fn write(&self, out: &mut Vec<u8>) {
        put(
            out,
            &[
                self.insn_off,
                self.type_id.0,
                self.access_str_off,
                self.kind as u32,
            ],
        );
    }

    fn read(words: &[u32]) -> Option<CoreRelo> {
        let [insn_off, type_id, access_str_off, kind] = *words.first_chunk()?;
        Some(CoreRelo {
            insn_off,
            type_id: TypeId(type_id),
            access_str_off,
            kind: CoreKind::new(kind)?,
        })
    }
}

/// The records of one ELF section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<T> {
    /// Offset of the section's name in the string section of the BTF.
    pub name_off: u32,
    pub rows: Vec<T>,
}

/// The three tables of `.BTF.ext`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BtfExt {
    pub func_info: Vec<Section<FuncInfo>>,
    pub line_info: Vec<Section<LineInfo>>,
    pub core_relos: Vec<Section<CoreRelo>>,
}

impl BtfExt {
    /// Reads a `.BTF.ext` section.
    ///
    /// # Errors
    /// If the header is wrong, a table does not fit into the data, or a relocation is of an
    /// unknown kind.
    pub fn parse(data: &[u8]) -> Result<BtfExt, BtfError> {
        let header = BtfError::Truncated("the header");
        let Some(([a, b, version, _], _)) = data.split_first_chunk::<4>() else {
            return Err(header);
        };
        let magic = u16::from_ne_bytes([*a, *b]);
        if magic != MAGIC {
            return Err(BtfError::Magic(magic));
        }
        if *version != VERSION {
            return Err(BtfError::Version(*version));
        }
        let Some(start) = u32_at(data, 4) else {
            return Err(header);
        };
        let table = |at: usize| {
            if at + 8 > start as usize {
                return Ok(&[][..]);
            }
            let bounds = (u32_at(data, at), u32_at(data, at + 4));
            let (Some(off), Some(len)) = bounds else {
                return Err(BtfError::Truncated("the header"));
            };
            let from = u64::from(start) + u64::from(off);
            let to = from + u64::from(len);
            let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
            range
                .and_then(|(from, to)| data.get(from..to))
                .ok_or(BtfError::Truncated("a table"))
        };
        Ok(BtfExt {
            func_info: read_table(table(8)?)?,
            line_info: read_table(table(16)?)?,
            core_relos: read_table(table(24)?)?,
        })
    }
}

fn read_table<T: Row>(data: &[u8]) -> Result<Vec<Section<T>>, BtfError> {
    let cut = || BtfError::Truncated("a table");
    if data.is_empty() {
        return Ok(Vec::new());
    }
    let size = u32_at(data, 0).ok_or_else(cut)? as usize;
    if size < T::WORDS * 4 {
        return Err(cut());
    }
    let mut sections = Vec::new();
    let mut rest = data.get(4..).unwrap_or_default();
    while !rest.is_empty() {
        let name_off = u32_at(rest, 0).ok_or_else(cut)?;
        let count = u32_at(rest, 4).ok_or_else(cut)? as usize;
        let body = rest.get(8..).unwrap_or_default();
        let len = count.checked_mul(size).ok_or_else(cut)?;
        let (rows, tail) = body.split_at_checked(len).ok_or_else(cut)?;
        let rows = rows
            .chunks_exact(size)
            .map(|row| {
                let words: Vec<u32> = row
                    .as_chunks()
                    .0
                    .iter()
                    .map(|w| u32::from_ne_bytes(*w))
                    .collect();
                T::read(&words).ok_or_else(cut)
            })
            .collect::<Result<_, _>>()?;
        sections.push(Section { name_off, rows });
        rest = tail;
    }
    Ok(sections)
}

/// Collects the tables of `.BTF.ext` and writes them.
#[derive(Clone, Debug, Default)]
pub struct BtfExtBuilder {
    tables: BtfExt,
}

impl BtfExtBuilder {
    /// No records.
    pub fn new() -> BtfExtBuilder {
        BtfExtBuilder::default()
    }

    /// Says which function starts at `info.insn_off` of an ELF section.
    pub fn func_info(&mut self, btf: &mut BtfBuilder, section: &str, info: FuncInfo) {
        push(&mut self.tables.func_info, btf.string(section), info);
    }

    /// Says which line the instructions from `insn_off` of an ELF section come from: file, text
    /// of the line, line and column from 1.
    pub fn line_info(
        &mut self,
        btf: &mut BtfBuilder,
        section: &str,
        insn_off: u32,
        (file, text, line, column): (&str, &str, u32, u32),
    ) {
        let info = LineInfo {
            insn_off,
            file_name_off: btf.string(file),
            line_off: btf.string(text),
            line,
            column,
        };
        push(&mut self.tables.line_info, btf.string(section), info);
    }

    /// Says which line instructions of an ELF section come from, with the texts already stored.
    pub fn line_row(&mut self, btf: &mut BtfBuilder, section: &str, info: LineInfo) {
        push(&mut self.tables.line_info, btf.string(section), info);
    }

    /// Says that the instruction at `insn_off` of an ELF section depends on a type.
    pub fn core_relo(
        &mut self,
        btf: &mut BtfBuilder,
        section: &str,
        insn_off: u32,
        (type_id, access, kind): (TypeId, &str, CoreKind),
    ) {
        let relo = CoreRelo {
            insn_off,
            type_id,
            access_str_off: btf.string(access),
            kind,
        };
        push(&mut self.tables.core_relos, btf.string(section), relo);
    }

    /// The tables so far.
    pub fn tables(&self) -> &BtfExt {
        &self.tables
    }

    /// The section's bytes.
    pub fn build(&self) -> Vec<u8> {
        let func = write_table(&self.tables.func_info);
        let line = write_table(&self.tables.line_info);
        let core = write_table(&self.tables.core_relos);
        let len = |table: &Vec<u8>| table.len() as u32;
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC.to_ne_bytes());
        out.extend_from_slice(&[VERSION, 0]);
        put(
            &mut out,
            &[HEADER_LEN, 0, len(&func), len(&func), len(&line)],
        );
        put(&mut out, &[len(&func) + len(&line), len(&core)]);
        out.extend(func);
        out.extend(line);
        out.extend(core);
        out
    }
}

fn push<T>(sections: &mut Vec<Section<T>>, name_off: u32, row: T) {
    match sections.iter_mut().find(|s| s.name_off == name_off) {
        Some(section) => section.rows.push(row),
        None => sections.push(Section {
            name_off,
            rows: vec![row],
        }),
    }
}

fn write_table<T: Row>(sections: &[Section<T>]) -> Vec<u8> {
    let mut out = Vec::new();
    if sections.is_empty() {
        return out;
    }
    put(&mut out, &[T::WORDS as u32 * 4]);
    for section in sections {
        put(&mut out, &[section.name_off, section.rows.len() as u32]);
        for row in &section.rows {
            row.write(&mut out);
        }
    }
    out
}
