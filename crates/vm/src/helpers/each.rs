//! The walk over all elements of a map.

use super::{Args, family};
use crate::Errno;
use crate::errno::to_register;
use crate::run::Run;

family! {
    FOR_EACH_MAP_ELEM => |run, args| to_register(for_each(run, args)),
}

/// Calls `callback(map, key, value, context)` until it gives 1; gives the number of calls.
fn for_each(run: &mut Run<'_>, [handle, callback, context, flags, ..]: Args) -> Result<u64, Errno> {
    if flags != 0 {
        return Err(Errno::INVAL);
    }
    let map = run.map(handle)?;
    let key_size = u64::from(map.spec().key_size);
    let cpu = run.cpu;
    let mut failed = None;
    let shown = map.store().for_each(cpu, &mut |key, value| {
        let key = key.as_ptr() as u64;
        let lent = run.lend(key, key_size);
        let result = run.call_back(callback, [handle, key, value.as_ptr() as u64, context, 0]);
        run.take_back(lent);
        match result {
            Ok(0) => run.may_go_on(),
            Ok(_) => false,
            Err(errno) => {
                failed = Some(errno);
                false
            }
        }
    })?;
    failed.map_or(Ok(shown), Err)
}
