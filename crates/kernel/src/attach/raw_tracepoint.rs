//! Raw tracepoints, by name or by the BTF of their arguments.

use std::os::fd::{BorrowedFd, OwnedFd};

use beetrace_engine::Error;

use super::{c_string, failed, refused};
use crate::sys::{bpf, errno};

/// With `by_btf` the load has fixed the tracepoint.
pub(super) fn attach(
    program: BorrowedFd,
    probe: &str,
    name: &str,
    by_btf: bool,
) -> Result<Vec<OwnedFd>, Error> {
    let name = c_string(probe, name)?;
    let name = (!by_btf).then_some(name.as_c_str());
    match bpf::raw_tracepoint_open(name, program) {
        Ok(link) => Ok(vec![link]),
        Err(error) => Err(match errno(&error) {
            libc::ENOENT => refused(probe, format!("Probe does not exist: {probe}"), None),
            libc::EINVAL => refused(
                probe,
                "Maybe trying to access arguments beyond what's available in this tracepoint",
                None,
            ),
            _ => failed(probe, error),
        }),
    }
}
