//! BTF of kernel modules, as bpf(2) names it: by file descriptor.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use beetrace_engine::Error;

use crate::caps;
use crate::sys::bpf;

/// Descriptors of modules' BTF, found on demand.
#[derive(Debug, Default)]
pub(crate) struct ModuleBtf {
    found: HashMap<String, OwnedFd>,
}

impl ModuleBtf {
    pub(crate) fn find(&mut self, module: &str) -> Result<BorrowedFd<'_>, Error> {
        if !self.found.contains_key(module) {
            let fd = search(module)?;
            self.found.insert(module.to_owned(), fd);
        }
        match self.found.get(module) {
            Some(fd) => Ok(fd.as_fd()),
            None => Err(missing(module)),
        }
    }
}

fn search(module: &str) -> Result<OwnedFd, Error> {
    let failed = |e| caps::bpf_error(format!("looking for the types of the module `{module}`"), e);
    let mut id = 0;
    loop {
        id = match bpf::btf_next_id(id) {
            Ok(id) => id,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                return Err(missing(module));
            }
            Err(error) => return Err(failed(error)),
        };
        // It may be gone by now.
        let Ok(fd) = bpf::btf_by_id(id) else { continue };
        if let Ok((name, true)) = bpf::btf_name(fd.as_fd())
            && name == module
        {
            return Ok(fd);
        }
    }
}

fn missing(module: &str) -> Error {
    Error::Unsupported {
        what: format!("the module `{module}`"),
        reason: "it is not loaded, or the kernel has no BTF of it".into(),
    }
}
