//! Kernel static tracepoints: `tracepoint:category:name`.

/// The layout of a tracepoint's record, from the `format` file of tracefs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Format {
    pub fields: Vec<FormatField>,
}

/// One `field:` line.
#[derive(Clone, Debug, PartialEq)]
pub struct FormatField {
    pub name: String,
    /// The C type as written, without `__data_loc` and array brackets, e.g. `const char *`.
    pub ty: String,
    /// Length where it is an array.
    pub array: Option<u32>,
    /// In bytes from the start of the record.
    pub offset: u32,
    pub size: u32,
    pub signed: bool,
    /// A `__data_loc` field: 32 bits that say where the array lies, offset in the low half, length in the high half.
    pub data_loc: bool,
    /// A `__rel_loc` field: the same, but the offset counts from the end of the field.
    pub rel_loc: bool,
    /// One of the `common_` fields, which `args` does not show.
    pub common: bool,
}
