//! The command line's grammar.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, Parser, ValueEnum};
use regex_lite::Regex;

/// Trace programs and the kernel with scripts in the bpftrace language.
#[derive(Debug, Parser)]
#[command(
    name = "beetrace",
    disable_version_flag = true,
    args_override_self = true,
    max_term_width = 100,
    help_template = HELP,
    override_usage = USAGE,
    after_help = EXAMPLES
)]
pub struct Args {
    /// Run this program instead of a file
    #[arg(short = 'e', value_name = "PROGRAM", allow_hyphen_values = true)]
    pub program: Option<String>,

    /// List probes that match a pattern, or those of a script
    #[arg(short, long)]
    pub list: bool,

    /// Say more; with -l also show arguments
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,

    /// Trace this process only
    #[arg(short, long, value_name = "PID", allow_hyphen_values = true)]
    pub pid: Option<String>,

    /// Start this command once all probes are attached, and trace until it ends
    #[arg(short = 'c', long, value_name = "COMMAND", allow_hyphen_values = true)]
    pub cmd: Option<String>,

    /// Write results to a file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Form of the results: text or json
    #[arg(short = 'f', long, value_name = "FORM")]
    pub format: Option<String>,

    /// When results are written out
    #[arg(short = 'B', value_name = "MODE", value_enum)]
    pub buffering: Option<BufferMode>,

    /// Print results only
    #[arg(short, long)]
    pub quiet: bool,

    /// Report every memory read and map access that fails
    #[arg(short = 'k', long = "warnings")]
    pub helper_errors: bool,

    /// Print no warnings
    #[arg(long, conflicts_with = "helper_errors")]
    pub no_warnings: bool,

    /// Allow what changes the system: system(), signal(), override()
    #[arg(long = "unsafe")]
    pub allow_unsafe: bool,

    /// Show a stage of the compilation, then end
    #[arg(short = 'd', long = "debug", value_name = "STAGE", value_enum)]
    pub stages: Vec<Stage>,

    /// Write the compiled object to an ELF file, then end
    #[arg(long, value_name = "FILE")]
    pub emit_elf: Option<PathBuf>,

    /// End once all probes are attached
    #[arg(long)]
    pub dry_run: bool,

    /// Run probes that are not attached, but called
    #[arg(long, value_name = "MODE", value_enum)]
    pub mode: Option<RunMode>,

    /// Run the script's test probes; the same as --mode test
    #[arg(long, conflicts_with = "mode")]
    pub test: bool,

    /// Run the script's bench probes; the same as --mode bench
    #[arg(long, conflicts_with_all = ["mode", "test"])]
    pub bench: bool,

    /// Run only probes whose name matches a regular expression, and those that begin and end the run
    #[arg(long, value_name = "REGEX", value_parser = regex)]
    pub probe_filter: Option<Regex>,

    /// Wake USDT probes of every process that maps the file; this is always so where the kernel counts semaphores
    #[arg(long)]
    pub usdt_file_activation: bool,

    /// Show what the kernel supports
    #[arg(long)]
    pub info: bool,

    /// Look for headers and imports here as well
    #[arg(short = 'I', value_name = "DIR")]
    pub include_dirs: Vec<PathBuf>,

    /// Take this header in before the script
    #[arg(long = "include", value_name = "FILE")]
    pub includes: Vec<PathBuf>,

    /// Take the kernel functions that can be traced from this file
    #[arg(long, value_name = "FILE")]
    pub traceable_functions: Option<PathBuf>,

    /// Print the version
    #[arg(short = 'V', long)]
    pub version: bool,

    /// Print a completion script for a shell
    #[arg(long, value_name = "SHELL", exclusive = true)]
    pub completions: Option<clap_complete::Shell>,

    /// Print the manual page
    #[arg(long, exclusive = true)]
    pub man: bool,

    /// The script, `-` for the standard input, and its positional parameters
    #[arg(value_name = "FILE", allow_negative_numbers = true)]
    pub words: Vec<String>,

    /// More parameters of the script: --name=value for getopt
    #[arg(last = true, value_name = "PARAMETER")]
    pub rest: Vec<String>,
}

const HELP: &str = "\
{about-with-newline}
USAGE:
    {usage}

{all-args}{after-help}";

const USAGE: &str = "\
beetrace [options] filename [parameters] [-- --name=value...]
    beetrace [options] -e 'program' [parameters] [-- --name=value...]
    beetrace [options] - < script
    beetrace -l [pattern|filename]";

const EXAMPLES: &str = "\
Examples:
  beetrace -e 'tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }'
      count system calls by program
  beetrace -e 'tracepoint:syscalls:sys_enter_openat { printf(\"%s %s\\n\", comm, str(args.filename)); }'
      show files as they are opened
  beetrace -e 'profile:hz:99 { @[kstack] = count(); }'
      sample kernel stacks
  beetrace -lv 'tracepoint:sched:*'
      list probes with their arguments";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BufferMode {
    /// After every round of records
    Line,
    /// When the buffer is full
    Full,
    /// After every record
    None,
}

/// What is done with probes that nothing but the tracer calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RunMode {
    /// Run test probes
    Test,
    /// Run bench probes
    Bench,
}

/// Stages of the compilation, each with a text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// The syntax tree
    Ast,
    /// The typed program
    Typed,
    /// The intermediate representation, optimised
    Ir,
    /// The bytecode
    Asm,
    /// The whole object: maps, records, programs
    Object,
    /// All of them
    All,
}

impl Args {
    /// The arguments of this process. An error is the status to end with; the person has been told.
    pub fn of_process() -> Result<Args, ExitCode> {
        Args::try_parse().map_err(|e| {
            let asked = matches!(e.kind(), ErrorKind::DisplayHelp);
            let text = e.render().to_string();
            // Where the stream is gone, there is nobody to tell.
            let _ = if asked {
                std::io::stdout().write_all(text.as_bytes())
            } else {
                std::io::stderr().write_all(complaint(&text).as_bytes())
            };
            if asked {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        })
    }

    /// What `--mode`, `--test` and `--bench` say.
    pub fn run_mode(&self) -> Option<RunMode> {
        let flag = |on: bool, mode| on.then_some(mode);
        self.mode
            .or(flag(self.test, RunMode::Test))
            .or(flag(self.bench, RunMode::Bench))
    }

    /// The script's file, where it is not on the command line itself.
    pub fn file(&self) -> Option<&str> {
        if self.program.is_some() {
            None
        } else {
            self.words.first().map(String::as_str)
        }
    }

    /// `$1`, `$2`, …
    pub fn positional(&self) -> Vec<String> {
        let skip = usize::from(self.program.is_none());
        let words = self.words.iter().skip(skip);
        words
            .chain(self.rest.iter().filter(|w| !w.starts_with("--")))
            .cloned()
            .collect()
    }

    /// Parameters by name.
    pub fn named(&self) -> Vec<(String, Option<String>)> {
        let named = self.rest.iter().filter_map(|w| w.strip_prefix("--"));
        named
            .map(|w| match w.split_once('=') {
                Some((name, value)) => (name.to_string(), Some(value.to_string())),
                None => (w.to_string(), None),
            })
            .collect()
    }

    pub fn shows(&self, stage: Stage) -> bool {
        self.stages.iter().any(|s| *s == stage || *s == Stage::All)
    }
}

fn regex(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|e| format!("Invalid --probe-filter regex: {e}"))
}

/// What is wrong with the arguments, and how they go.
fn complaint(text: &str) -> String {
    let what = text.split("\nUsage:").next().unwrap_or(text);
    let what = what.trim_end();
    let what = what
        .strip_suffix("For more information, try '--help'.")
        .unwrap_or(what)
        .trim_end();
    let what = what.strip_prefix("error: ").unwrap_or(what);
    format!("ERROR: {what}\n\nUSAGE:\n    {USAGE}\n\nFor more information, try '--help'.\n")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_last_of_an_option_counts() {
        let args = Args::parse_from([
            "beetrace", "-e", "begin{}", "-e", "end{}", "--mode", "bench",
        ]);
        assert_eq!(args.program.as_deref(), Some("end{}"));
        assert_eq!(args.run_mode(), Some(RunMode::Bench));
    }

    #[test]
    fn complaints_end_with_the_usage() {
        let error = Args::try_parse_from(["beetrace", "-e", "begin{}", "--aa=20"]).unwrap_err();
        let text = complaint(&error.render().to_string());
        assert!(
            text.starts_with("ERROR: unexpected argument '--aa' found\n"),
            "{text}"
        );
        assert!(
            text.contains("\nUSAGE:\n    beetrace [options] filename"),
            "{text}"
        );
        assert!(!text.contains("Usage:"), "{text}");
    }

    #[test]
    fn parameters_before_and_behind_the_double_dash() {
        let args = Args::parse_from([
            "beetrace", "-e", "begin{}", "p1", "-5", "--", "20", "--aa=1", "--bb",
        ]);
        assert_eq!(args.positional(), ["p1", "-5", "20"]);
        assert_eq!(
            args.named(),
            [
                ("aa".to_string(), Some("1".to_string())),
                ("bb".to_string(), None)
            ]
        );
        let args = Args::parse_from(["beetrace", "x.bt", "a", "-c", "true"]);
        assert_eq!(args.file(), Some("x.bt"));
        assert_eq!(args.positional(), ["a"]);
    }
}
