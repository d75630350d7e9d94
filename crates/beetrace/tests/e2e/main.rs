//! End-to-end tests: the tracer's binary against the running kernel, by the cases in `tests/cases/*.case`.
//!
//! ```text
//! cargo test -p beetrace --test e2e                # all
//! cargo test -p beetrace --test e2e -- maps/       # those with `maps/` in their name
//! BEETRACE_BIN=/usr/bin/bpftrace cargo test …      # with another binary
//! ```
//!
//! A case that passes with `bpftrace` 0.27 as the binary is proven to state what bpftrace does. Where beetrace means to
//! do something else, the case says so in a field `differs`, and is left out with a binary of the name `bpftrace`.
//!
//! # A case
//!
//! ```text
//! # A comment, before the sections only.
//!
//! === the name, unique in the file
//! args: -f json
//! run: syscalls openat /nowhere
//! signal: INT
//! --- script
//! tracepoint:syscalls:sys_enter_openat /comm == "syscalls"/ { printf("%s\n", str(args.filename)); }
//! --- stdout
//! {"type": "printf", "data": "/nowhere\n"}
//! ```
//!
//! Fields, each on a line:
//!
//! | field | meaning | without it |
//! |---|---|---|
//! | `args` | options before the script; `'…'` and `"…"` keep blanks | none |
//! | `under` | a command that starts the tracer, which it gets as its last words | none |
//! | `params` | what stands behind the script | none |
//! | `env` | `NAME=VALUE` for the tracer; may be repeated | none |
//! | `needs` | `nothing`, or what the machine must have (`needs.rs`): otherwise the case is skipped | `bpf` |
//! | `kernels` | the series it is for: `6.1..`, `..6.12`, `6.1..6.12` | all |
//! | `before` | a program started first; it says `ready`, with `NAME=VALUE` words that the case uses as `${NAME}` | none |
//! | `exit` | the code that the tracer ends with, or `signal N` | 0 |
//! | `timeout` | seconds; then the tracer's process group is killed and the case fails | 30 |
//! | `differs` | why bpftrace does something else | it does the same |
//!
//! Steps, in their order, once the tracer says that its probes are attached (a line that is not part of the output):
//!
//! | step | meaning |
//! |---|---|
//! | `run` | a program to its end |
//! | `tell` | the program of `before` does another round (a line to it, a line from it) |
//! | `wait` | until this text is on standard output |
//! | `signal` | `INT`, `TERM` or `USR1` to the tracer |
//!
//! Sections, up to the next line that starts with `--- ` or `=== `:
//!
//! | section | meaning |
//! |---|---|
//! | `script` | given by `-e`; without it, `args` name what to run |
//! | `file NAME` | a file in the folder where the tracer is started |
//! | `stdin` | what the tracer reads |
//! | `stdout` | all of standard output, without empty lines at its ends. `...` is any number of lines, a line `~ …` a regular expression for a whole line. Without the section, any output will do |
//! | `stdout raw` | all of it to the byte |
//! | `stderr` | parts of lines of standard error, in this order, with anything for `...` inside; `! …` is part of no line. Without the section nothing may say `ERROR` |
//! | `written NAME` | a file that the tracer wrote, as `stdout` |
//!
//! With `-f json`, each line of standard output must be JSON, and the line with the count of probes is left out.
//! `${PROGRAMS}` is the folder with the programs of `tests/programs` (the case's own copies), `${FOLDER}` the one in which the tracer runs, and
//! `${PID}` the process of `before`. A case traces only what it starts itself: it filters by process or name.
//!
//! A case whose `needs` the machine lacks shows up as ignored, with the reason. Where `BEETRACE_MAY_SKIP` is set (to
//! needs parted by blanks, or to nothing), one that lacks anything else fails instead; `another-kernel` is for those whose
//! `kernels` leave the running one out.
//!
//! Away from where it was built, the runner looks for the cases in `BEETRACE_TESTS`, and for compiled programs, and room
//! to work in, in `BEETRACE_SCRATCH`.

mod case;
mod expect;
mod needs;
mod programs;
mod run;
mod selftest;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use libtest_mimic::{Arguments, Trial};

use case::Case;
use run::Places;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Probes of one case slow down what the others trace: more at once gain nothing.
    arguments.test_threads.get_or_insert(2);
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn trials() -> Result<Vec<Trial>, String> {
    let folder = |name, built: PathBuf| env::var_os(name).map_or(built, PathBuf::from);
    let here = folder(
        "BEETRACE_TESTS",
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"),
    );
    let target = folder(
        "BEETRACE_SCRATCH",
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e"),
    );
    let places = Places {
        tracer: env::var_os("BEETRACE_BIN")
            .map_or_else(|| env!("CARGO_BIN_EXE_beetrace").into(), PathBuf::from),
        programs: programs::build(&here.join("programs"), &target)?,
        scratch: target.join("cases"),
    };
    let is_peer = places.tracer.file_name().is_some_and(|n| n == "bpftrace");
    let may_skip = env::var("BEETRACE_MAY_SKIP").ok();
    let mut trials = selftest::trials();
    for case in cases(&here.join("cases"))? {
        if !(is_peer && case.differs.is_some()) {
            trials.push(trial(case, &places, may_skip.as_deref())?);
        }
    }
    Ok(trials)
}

/// All cases of a folder, by file name.
fn cases(folder: &Path) -> Result<Vec<Case>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        if file.extension().is_none_or(|e| e != "case") {
            continue;
        }
        let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let group = file.file_stem().unwrap_or_default().to_string_lossy();
        cases.extend(case::parse(&group, &text)?);
    }
    Ok(cases)
}

fn trial(case: Case, places: &Places, may_skip: Option<&str>) -> Result<Trial, String> {
    let name = case.name.clone();
    let missing = needs::missing(&case).map_err(|e| format!("{name}: {e}"))?;
    let Some(need) = missing else {
        let places = places.clone();
        return Ok(Trial::test(name, move || {
            run::run(&case, &places)
                .map_err(|problem| format!("line {}: {problem}", case.line).into())
        }));
    };
    let reason = format!("skipped: needs {need}");
    let allowed = may_skip.is_none_or(|list| list.split(' ').any(|n| n == need));
    Ok(if allowed {
        Trial::test(name, || Ok(()))
            .with_kind(reason)
            .with_ignored_flag(true)
    } else {
        Trial::test(name, move || Err(reason.into()))
    })
}
