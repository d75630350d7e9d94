//! Many places of one file through one link (Linux 6.6).

use std::os::fd::{BorrowedFd, OwnedFd};

use beetrace_engine::Error;

use super::{Sites, c_path, failed};
use crate::sys::bpf::{self, UprobeSite};

/// Attaches to the targets of all `sites`, which [go with](Sites::goes_with) each other, with a cookie each.
pub(crate) fn attach_many(
    program: BorrowedFd,
    probe: &str,
    sites: &[(Sites, u64)],
) -> Result<Vec<OwnedFd>, Error> {
    let Some((first, _)) = sites.first() else {
        return Ok(Vec::new());
    };
    let path = c_path(probe, first.path)?;
    let places: Vec<UprobeSite> = sites
        .iter()
        .flat_map(|(sites, cookie)| {
            sites.targets.iter().map(|target| UprobeSite {
                offset: target.offset,
                ref_ctr_offset: target.ref_ctr_offset,
                cookie: *cookie,
            })
        })
        .collect();
    bpf::link_uprobe_multi(program, &path, &places, first.pid, first.is_return)
        .map(|link| vec![link])
        .map_err(|error| failed(probe, error))
}
