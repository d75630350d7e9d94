//! `--info`: what the kernel supports.

use std::process::ExitCode;

use crate::Reported;

pub fn print() -> Result<ExitCode, Reported> {
    println!("beetrace v{}", env!("CARGO_PKG_VERSION"));
    Ok(ExitCode::SUCCESS)
}
