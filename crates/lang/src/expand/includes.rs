//! Headers that a script includes.
//!
//! Types come from the kernel's BTF, so headers of the kernel and of the C library have nothing to add: they count as
//! included without being read. What the person has in directories of their own is read.

use std::path::{Path, PathBuf};

use super::imports::ImportFiles;

/// Directories of the kernel's `include`.
const KERNEL: &[&str] = &[
    "acpi",
    "asm",
    "asm-generic",
    "bpf",
    "clocksource",
    "crypto",
    "drm",
    "hyperv",
    "keys",
    "kvm",
    "linux",
    "media",
    "memory",
    "misc",
    "net",
    "ras",
    "rdma",
    "scsi",
    "soc",
    "sound",
    "target",
    "trace",
    "uapi",
    "ufs",
    "vdso",
    "video",
    "xen",
];

/// Directories and files of the C library.
const LIBRARY: &[&str] = &[
    "arpa",
    "bits",
    "errno.h",
    "fcntl.h",
    "limits.h",
    "netinet",
    "signal.h",
    "stdbool.h",
    "stddef.h",
    "stdint.h",
    "stdio.h",
    "stdlib.h",
    "string.h",
    "sys",
    "syscall.h",
    "time.h",
    "unistd.h",
];

/// Where a C compiler looks for headers.
const SYSTEM: &[&str] = &["/usr/include", "/usr/local/include"];

/// What becomes of an include.
#[derive(Debug, PartialEq, Eq)]
pub enum Header {
    /// The text to take in.
    File(PathBuf),
    /// Its types are known without it.
    Known,
    Missing,
}

/// Finds a header: beside the file that includes it, unless it is written `<so>`, then in the directories of `-I`.
pub fn find(
    path: &str,
    beside: Option<&Path>,
    include_dirs: &[PathBuf],
    files: &dyn ImportFiles,
) -> Header {
    let own = beside
        .into_iter()
        .chain(include_dirs.iter().map(PathBuf::as_path));
    if let Some(file) = own.map(|dir| dir.join(path)).find(|f| files.exists(f)) {
        return Header::File(file);
    }
    let first = path.split('/').next().unwrap_or(path);
    let known = KERNEL.contains(&first) || LIBRARY.contains(&first);
    let on_disk = || {
        SYSTEM
            .iter()
            .any(|dir| files.exists(&Path::new(dir).join(path)))
    };
    if known || on_disk() {
        Header::Known
    } else {
        Header::Missing
    }
}
