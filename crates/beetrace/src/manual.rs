//! What is generated from the grammar of the command line: completions and the manual page.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::Reported;
use crate::args::Args;

pub fn completions(shell: Shell) {
    clap_complete::generate(
        shell,
        &mut Args::command(),
        "beetrace",
        &mut std::io::stdout(),
    );
}

pub fn page() -> Result<ExitCode, Reported> {
    clap_mangen::Man::new(Args::command())
        .render(&mut std::io::stdout())
        .map_err(|e| Reported::error(format_args!("cannot print the manual page: {e}")))?;
    Ok(ExitCode::SUCCESS)
}
