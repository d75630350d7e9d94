//! Where the bytes of BTF live.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::ops::Deref;
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

use crate::BtfError;

/// Bytes that are owned, static or mapped from a file.
pub(crate) enum Data {
    Bytes(Cow<'static, [u8]>),
    Mapped(Mmap),
}

impl Deref for Data {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Data::Bytes(bytes) => bytes,
            Data::Mapped(map) => map,
        }
    }
}

/// Maps the kernel's own BTF where that works, and reads every other file.
pub(crate) fn open(path: &Path) -> Result<Data, BtfError> {
    let io = |source| BtfError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(io)?;
    if path.starts_with("/sys/kernel/btf")
        && let Some(map) = map_sysfs(&file)
    {
        return Ok(Data::Mapped(map));
    }
    let len = file.metadata().map_or(0, |m| m.len());
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    file.read_to_end(&mut bytes).map_err(io)?;
    Ok(Data::Bytes(bytes.into()))
}

/// Maps a file of `/sys/kernel/btf`. Since Linux 6.16 `vmlinux` there can be mapped, only
/// privately; other files and older kernels answer with an error.
fn map_sysfs(file: &File) -> Option<Mmap> {
    // SAFETY: the kernel's BTF is never changed nor truncated while the kernel runs, and the
    // caller names no file that a process could write.
    unsafe { MmapOptions::new().map_copy_read_only(file) }.ok()
}
