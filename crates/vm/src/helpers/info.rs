//! What is known of the probe itself.

use super::{Args, family};
use crate::Errno;
use crate::errno::to_register;
use crate::run::Run;

family! {
    GET_ATTACH_COOKIE => |run, _| run.world.attach_cookie(),
    GET_FUNC_IP => |run, _| run.world.function_address(),
    GET_FUNC_ARG => |run, args| to_register(argument(run, args)),
    GET_FUNC_RET => |run, args| to_register(result(run, args)),
    GET_FUNC_ARG_CNT => |run, _| run.world.function_arguments().len() as u64,
}

fn give(run: &mut Run<'_>, to: u64, value: u64) -> Result<u64, Errno> {
    run.write(to, 8)?.copy_from_slice(&value.to_ne_bytes());
    Ok(0)
}

fn argument(run: &mut Run<'_>, [_, index, to, ..]: Args) -> Result<u64, Errno> {
    let index = (index & 0xffff_ffff) as usize;
    let value = run.world.function_arguments().get(index).copied();
    give(run, to, value.ok_or(Errno::INVAL)?)
}

fn result(run: &mut Run<'_>, [_, to, ..]: Args) -> Result<u64, Errno> {
    let value = run.world.function_result().ok_or(Errno::OPNOTSUPP)?;
    give(run, to, value)
}
