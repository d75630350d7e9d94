//! BPF iterators: programs that walk over objects of the kernel and write text.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use beetrace_engine::Error;

use super::{c_path, failed, refused};
use crate::sys::{bpf, errno};

/// `pid` restricts it to one process; zero is all. A pinned iterator stays after the run.
pub(super) fn attach(
    program: BorrowedFd,
    probe: &str,
    pid: u32,
    pin: Option<&Path>,
) -> Result<Vec<OwnedFd>, Error> {
    let link = bpf::link_iter(program, pid).map_err(|error| failed(probe, error))?;
    if let Some(path) = pin {
        bpf::pin(link.as_fd(), &c_path(probe, path)?).map_err(|error| match errno(&error) {
            libc::EEXIST => refused(probe, format!("{} is there already", path.display()), None),
            libc::EINVAL | libc::ENOENT | libc::EPERM => refused(
                probe,
                format!("cannot pin it at {}", path.display()),
                Some("pins live in a BPF file system, usually /sys/fs/bpf"),
            ),
            _ => failed(probe, error),
        })?;
    }
    Ok(vec![link])
}

/// The output of an attached iterator, from its beginning.
pub(crate) fn read(link: BorrowedFd) -> io::Result<File> {
    bpf::iter_create(link).map(File::from)
}
