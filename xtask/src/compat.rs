//! `cargo xtask compat`: bpftrace's own runtime suites against a binary, compared with a baseline.
//!
//! Each suite runs through the suite's engine in a private copy of the tests folder: uprobes attach to inodes, so
//! concurrent runs must not share the traced programs. Results go to `DIR/results.tsv` (suite, name, result),
//! `DIR/details.tsv` (with reasons) and `DIR/logs/SUITE.log`; the table and the failing tests go to stdout.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::engine_log::{self, Outcome, Verdict};

/// Results by (suite, test).
type Results = BTreeMap<(String, String), Outcome>;

struct Options {
    tests: PathBuf,
    bin: PathBuf,
    baseline: Option<PathBuf>,
    out: PathBuf,
    jobs: usize,
    engine_args: String,
    suites: Vec<String>,
}

/// Runs the subcommand.
///
/// # Errors
///
/// When an argument is wrong, a folder or the binary is missing, or the engine cannot be started. A failing test is
/// a result, not an error.
pub(crate) fn run(args: Vec<String>) -> Result<()> {
    let options = Options::parse(args)?;
    let names = test_names(&options.tests.join("runtime"))?;
    let suites = if options.suites.is_empty() {
        names.keys().cloned().collect()
    } else {
        options.suites.clone()
    };
    for suite in &suites {
        ensure!(
            names.contains_key(suite),
            "no suite {suite:?} in {}",
            options.tests.display()
        );
    }
    let baseline = options.baseline.as_deref().map(read_results).transpose()?;
    fs::create_dir_all(options.out.join("logs"))
        .with_context(|| format!("cannot make {}", options.out.display()))?;

    let results = run_suites(&options, &suites, &names)?;
    write_results(&options.out, &results)?;
    print!("{}", report(&results, baseline.as_ref()));
    Ok(())
}

impl Options {
    fn parse(args: Vec<String>) -> Result<Self> {
        let root = std::env::var_os("CARGO_MANIFEST_DIR")
            .map(PathBuf::from)
            .unwrap_or_default()
            .join("..");
        let mut tests = None;
        let mut bin = root.join("target/x86_64-unknown-linux-gnu/release/beetrace");
        let mut baseline = None;
        let mut out = root.join("target/compat");
        let mut jobs = 1;
        let mut engine_args = String::new();
        let mut suites = Vec::new();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--tests" => tests = Some(PathBuf::from(value()?)),
                "--bin" => bin = PathBuf::from(value()?),
                "--baseline" => baseline = Some(PathBuf::from(value()?)),
                "--out" => out = PathBuf::from(value()?),
                "--jobs" => jobs = value()?.parse().context("--jobs needs a number")?,
                "--engine-args" => engine_args = value()?,
                option if option.starts_with('-') => bail!("unknown option {option}"),
                _ => suites.push(arg),
            }
        }
        let tests =
            tests.context("--tests DIR is needed: `cargo xtask prepare` makes the folder")?;
        Ok(Self {
            tests: tests
                .canonicalize()
                .with_context(|| format!("no tests folder {}", tests.display()))?,
            bin: bin
                .canonicalize()
                .with_context(|| format!("no binary {}", bin.display()))?,
            baseline,
            out,
            jobs: jobs.max(1),
            engine_args,
            suites,
        })
    }
}

/// The names of the tests in each suite file below `runtime`.
fn test_names(runtime: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let mut found = BTreeMap::new();
    let entries =
        fs::read_dir(runtime).with_context(|| format!("cannot read {}", runtime.display()))?;
    for entry in entries {
        let entry = entry?;
        let suite = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            if !["engine", "scripts", "outputs"].contains(&suite.as_str()) {
                found.append(&mut test_names(&entry.path())?);
            }
        } else if !suite.starts_with('.') {
            let text = fs::read_to_string(entry.path())
                .with_context(|| format!("cannot read suite {suite}"))?;
            let names = text
                .lines()
                .filter_map(|line| line.strip_prefix("NAME "))
                .map(|name| name.trim().to_string());
            found.insert(suite, names.collect());
        }
    }
    Ok(found)
}

/// Runs the suites, `jobs` at a time, each job in a copy of the tests folder of its own.
fn run_suites(
    options: &Options,
    suites: &[String],
    names: &BTreeMap<String, Vec<String>>,
) -> Result<Results> {
    let scratch = std::env::temp_dir().join(format!("compat-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let outcome = run_in(&scratch, options, suites, names);
    fs::remove_dir_all(&scratch).with_context(|| format!("cannot remove {}", scratch.display()))?;
    outcome
}

fn run_in(
    scratch: &Path,
    options: &Options,
    suites: &[String],
    names: &BTreeMap<String, Vec<String>>,
) -> Result<Results> {
    let shim = write_shim(scratch, options)?;
    let queue = Mutex::new(suites.iter().collect::<VecDeque<_>>());
    let next = || queue.lock().ok().and_then(|mut queue| queue.pop_front());
    let job = |number: usize| -> Result<Results> {
        let tests = scratch.join(format!("tests-{number}"));
        succeed(Command::new("cp").arg("-a").arg(&options.tests).arg(&tests))?;
        let mut results = Results::new();
        while let Some(suite) = next() {
            let expected = names.get(suite).map_or(&[][..], Vec::as_slice);
            let log = run_suite(options, &tests, &shim, suite, expected.len())?;
            let found = suite_results(suite, expected, &log);
            eprintln!("{suite}: {}", counts(found.values()));
            results.extend(found);
        }
        Ok(results)
    };
    std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..options.jobs)
            .map(|number| scope.spawn(move || job(number)))
            .collect();
        let mut results = Results::new();
        for job in jobs {
            results.extend(
                job.join()
                    .map_err(|_| anyhow::anyhow!("a job ended unexpectedly"))??,
            );
        }
        Ok(results)
    })
}

/// Writes the script that stands for the binary. The engine puts `--verify-llvm-ir` into every call and finds processes
/// by the name of the file it runs: the script has that name, drops the flag and becomes the binary.
fn write_shim(scratch: &Path, options: &Options) -> Result<PathBuf> {
    let name = options
        .bin
        .file_name()
        .context("the binary has no file name")?;
    let shim = scratch.join(name);
    let script = format!(
        "#!/bin/bash\nkept=()\nfor x in \"$@\"; do [ \"$x\" = --verify-llvm-ir ] || kept+=(\"$x\"); done\n\
         exec '{}' {} \"${{kept[@]}}\"\n",
        options.bin.display(),
        options.engine_args
    );
    fs::write(&shim, script)?;
    fs::set_permissions(&shim, fs::Permissions::from_mode(0o755))?;
    Ok(shim)
}

/// Runs one suite through the engine and returns its log, which is also kept in the output folder.
fn run_suite(
    options: &Options,
    tests: &Path,
    shim: &Path,
    suite: &str,
    count: usize,
) -> Result<String> {
    let path = options.out.join("logs").join(format!("{suite}.log"));
    let log =
        fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut engine = Command::new("python3")
        .args(["-u", "runtime/engine/main.py", "--filter"])
        .arg(format!("^{}\\.", suite.replace('.', "\\.")))
        .current_dir(tests)
        .env("BPFTRACE_RUNTIME_TEST_EXECUTABLE", shim)
        .env("RUNTIME_TEST_COLOR", "no")
        .env("PYTHONUNBUFFERED", "1")
        .env_remove("TEST_FILTER")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .context("cannot start python3")?;
    let patience = Duration::from_secs((12 * count as u64).max(90));
    if !ended_within(&mut engine, patience)? {
        eprintln!("{suite}: no end after {} s, stopped", patience.as_secs());
        succeed(Command::new("kill").args(["-INT", &engine.id().to_string()]))?;
        if !ended_within(&mut engine, Duration::from_secs(10))? {
            engine.kill()?;
            engine.wait()?;
        }
    }
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn ended_within(child: &mut Child, patience: Duration) -> Result<bool> {
    let began = Instant::now();
    while began.elapsed() < patience {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(false)
}

/// Runs a command that must succeed.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// The outcomes in the log; the `expected` tests that a log cut short does not mention count as not run.
fn suite_results(suite: &str, expected: &[String], log: &str) -> Results {
    let log = engine_log::parse(suite, log);
    let mut results: Results = log
        .outcomes
        .into_iter()
        .map(|(name, outcome)| ((suite.to_string(), name), outcome))
        .collect();
    if !log.complete {
        for name in expected {
            let missing = Outcome {
                verdict: Verdict::NotRun,
                reason: "the engine ended before it".to_string(),
            };
            results
                .entry((suite.to_string(), name.clone()))
                .or_insert(missing);
        }
    }
    results
}

/// Reads a table of results with a heading: suite, name, result.
fn read_results(path: &Path) -> Result<Results> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut results = Results::new();
    for (index, line) in text.lines().enumerate().skip(1) {
        let mut words = line.split('\t');
        let (suite, name) = (words.next(), words.next());
        let verdict = words.next().and_then(Verdict::from_word);
        let (Some(suite), Some(name), Some(verdict)) = (suite, name, verdict) else {
            bail!(
                "{}:{}: expected suite, name and result",
                path.display(),
                index + 1
            )
        };
        let outcome = Outcome {
            verdict,
            reason: String::new(),
        };
        results.insert((suite.to_string(), name.to_string()), outcome);
    }
    Ok(results)
}

fn write_results(out: &Path, results: &Results) -> Result<()> {
    let mut short = String::from("suite\tname\tresult\n");
    let mut long = String::from("suite\tname\tresult\treason\n");
    for ((suite, name), outcome) in results {
        let word = outcome.verdict.word();
        writeln!(short, "{suite}\t{name}\t{word}")?;
        writeln!(
            long,
            "{suite}\t{name}\t{word}\t{}",
            outcome.reason.replace('\t', " ")
        )?;
    }
    fs::write(out.join("results.tsv"), short)?;
    fs::write(out.join("details.tsv"), long)?;
    Ok(())
}

fn count<'a>(outcomes: impl Iterator<Item = &'a Outcome>, verdict: Verdict) -> usize {
    outcomes
        .filter(|outcome| outcome.verdict == verdict)
        .count()
}

fn counts<'a>(outcomes: impl Iterator<Item = &'a Outcome> + Clone) -> String {
    let of = |verdict| count(outcomes.clone(), verdict);
    let mut text = format!(
        "{} pass, {} fail, {} skip",
        of(Verdict::Pass),
        of(Verdict::Fail),
        of(Verdict::Skip)
    );
    let not_run = of(Verdict::NotRun);
    if not_run > 0 {
        text += &format!(", {not_run} not run");
    }
    text
}

/// The list of failing tests and the table, as printed.
fn report(results: &Results, baseline: Option<&Results>) -> String {
    let peer_of = |key: &(String, String)| {
        baseline
            .and_then(|peer| peer.get(key))
            .map(|outcome| outcome.verdict)
    };
    let counted =
        |key: &(String, String)| baseline.is_none() || peer_of(key) == Some(Verdict::Pass);
    let mut text = String::new();
    for (key, outcome) in results
        .iter()
        .filter(|(key, outcome)| outcome.verdict != Verdict::Pass && counted(key))
    {
        let reason: String = outcome.reason.chars().take(300).collect();
        text += &format!(
            "{} {}.{}\n    {reason}\n",
            outcome.verdict.word(),
            key.0,
            key.1
        );
    }
    let mut suites: Vec<&str> = results.keys().map(|(suite, _)| suite.as_str()).collect();
    suites.dedup();
    text += &format!(
        "{:16} {:>5} {:>5} {:>5} {:>8} | {:>5} {:>6}\n",
        "suite", "pass", "fail", "skip", "not run", "peer", "share"
    );
    for suite in suites.into_iter().map(Some).chain([None]) {
        let mine = || {
            results
                .iter()
                .filter(move |(key, _)| suite.is_none_or(|suite| key.0 == suite))
        };
        let of = |verdict| count(mine().map(|(_, outcome)| outcome), verdict);
        let peer = mine()
            .filter(|(key, _)| peer_of(key) == Some(Verdict::Pass))
            .count();
        let good = mine()
            .filter(|(key, o)| o.verdict == Verdict::Pass && peer_of(key) == Some(Verdict::Pass))
            .count();
        let share = if peer > 0 {
            format!("{:.1}%", 100.0 * good as f64 / peer as f64)
        } else {
            String::new()
        };
        text += &format!(
            "{:16} {:>5} {:>5} {:>5} {:>8} | {:>5} {:>6}\n",
            suite.unwrap_or("all"),
            of(Verdict::Pass),
            of(Verdict::Fail),
            of(Verdict::Skip),
            of(Verdict::NotRun),
            peer,
            share
        );
    }
    if baseline.is_some() {
        let beyond = results.iter().filter(|(key, o)| {
            o.verdict == Verdict::Pass
                && matches!(peer_of(key), Some(Verdict::Fail | Verdict::Skip))
        });
        text += &format!(
            "tests that pass here and not in the baseline: {}\n",
            beyond.count()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(lines: &[(&str, &str, Verdict)]) -> Results {
        let outcome = |verdict| Outcome {
            verdict,
            reason: "why".to_string(),
        };
        lines
            .iter()
            .map(|(s, n, v)| ((s.to_string(), n.to_string()), outcome(*v)))
            .collect()
    }

    #[test]
    fn the_share_counts_what_the_peer_passes() {
        let ours = results(&[
            ("call", "a", Verdict::Pass),
            ("call", "b", Verdict::Fail),
            ("call", "c", Verdict::Fail),
            ("map", "d", Verdict::Pass),
        ]);
        let peer = results(&[
            ("call", "a", Verdict::Pass),
            ("call", "b", Verdict::Pass),
            ("call", "c", Verdict::Fail),
            ("map", "d", Verdict::Skip),
        ]);
        assert_eq!(
            report(&ours, Some(&peer)),
            "FAIL call.b\n    why\n\
             suite             pass  fail  skip  not run |  peer  share\n\
             call                 1     2     0        0 |     2  50.0%\n\
             map                  1     0     0        0 |     0       \n\
             all                  2     2     0        0 |     2  50.0%\n\
             tests that pass here and not in the baseline: 1\n"
        );
    }

    #[test]
    fn a_suite_cut_short_leaves_tests_not_run() {
        let expected = ["a".to_string(), "b".to_string()];
        let found = suite_results(
            "s",
            &expected,
            "[ RUN      ] s.a\n[       OK ] s.a (3 ms)\n",
        );
        assert_eq!(counts(found.values()), "1 pass, 0 fail, 0 skip, 1 not run");
    }
}
