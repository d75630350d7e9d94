//! What the program says of itself: its version, completions and the manual page.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::Reported;
use crate::args::Args;

/// The release of bpftrace whose language and options this is.
const LANGUAGE: &str = "0.27.1";

/// Prints the version. Called by the name of bpftrace, it is that which counts for scripts that ask.
pub fn version() -> Result<ExitCode, Reported> {
    let path = std::env::args_os().next().map(PathBuf::from);
    let name = path.as_deref().and_then(Path::file_name);
    writeln!(std::io::stdout(), "{}", version_line(name))
        .map_err(|e| Reported::error(format_args!("cannot print the version: {e}")))?;
    Ok(ExitCode::SUCCESS)
}

fn version_line(name: Option<&OsStr>) -> String {
    let own = env!("CARGO_PKG_VERSION");
    if name == Some(OsStr::new("bpftrace")) {
        format!("bpftrace v{LANGUAGE} (beetrace {own})")
    } else {
        format!("beetrace v{own} (language of bpftrace {LANGUAGE})")
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_which_version_comes_first() {
        let line = |name| version_line(Some(OsStr::new(name)));
        assert!(line("bpftrace").starts_with("bpftrace v0.27."));
        assert!(line("beetrace").starts_with("beetrace v"));
    }
}
