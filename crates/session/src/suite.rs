//! `--test` and `--bench`: probes that run when asked, and their reports.

use std::time::Duration;

use crate::output::{Form, Output};
use crate::value::Value;

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// What came of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    pub passed: bool,
    pub duration: Duration,
    /// What it printed.
    pub output: String,
}

fn tests(n: usize) -> &'static str {
    if n == 1 { "test" } else { "tests" }
}

/// Before the first test.
pub fn begin_tests(output: &mut Output, count: usize) {
    output.raw_text(&format!(
        "{GREEN}[==========]{PLAIN} Running {count} tests.\n"
    ));
}

/// After a test: its output is shown only where it failed.
pub fn report_test(output: &mut Output, name: &str, result: &TestResult) {
    if output.form() == Form::Json {
        let value = Value::Record(vec![
            (
                "duration".into(),
                Value::Uint(result.duration.as_nanos() as u64),
            ),
            ("passed".into(), Value::Bool(result.passed)),
            ("output".into(), Value::text(result.output.clone())),
        ]);
        output.json_record("test_result", name, &value);
        return;
    }
    output.raw_text(&format!("{GREEN}[ RUN      ]{PLAIN} {name}\n"));
    if result.passed {
        output.raw_text(&format!("{GREEN}[       OK ]{PLAIN} {name}"));
    } else {
        for line in result.output.lines().filter(|l| !l.is_empty()) {
            output.raw_text(&format!("{line}\n"));
        }
        output.raw_text(&format!("{RED}[  FAILED  ]{PLAIN} {name}"));
    }
    let (value, unit) = scaled(result.duration);
    output.raw_text(&format!(" ({value} {unit})\n"));
}

/// After the last test.
pub fn end_tests(output: &mut Output, results: &[(String, bool)]) {
    let failed: Vec<&String> = results.iter().filter(|r| !r.1).map(|r| &r.0).collect();
    let passed = results.len() - failed.len();
    output.raw_text(&format!(
        "{GREEN}[==========]{PLAIN} {} {} ran.\n",
        results.len(),
        tests(results.len())
    ));
    output.raw_text(&format!(
        "{GREEN}[  PASSED  ]{PLAIN} {passed} {}.\n",
        tests(passed)
    ));
    if !failed.is_empty() {
        output.raw_text(&format!(
            "{RED}[  FAILED  ]{PLAIN} {} {}, listed below:\n",
            failed.len(),
            tests(failed.len())
        ));
        for name in failed {
            output.raw_text(&format!("{RED}[  FAILED  ]{PLAIN} {name}\n"));
        }
    }
}

/// A duration in the largest unit that leaves a whole number of at least one.
fn scaled(duration: Duration) -> (u128, &'static str) {
    let nanos = duration.as_nanos();
    match nanos {
        1_000_000_000.. => (nanos / 1_000_000_000, "s"),
        1_000_000.. => (nanos / 1_000_000, "ms"),
        1_000.. => (nanos / 1_000, "μs"),
        _ => (nanos, "ns"),
    }
}

/// Columns of the name and of the time.
const TIME_WIDTH: usize = 15;

fn name_width(names: &[String]) -> usize {
    names.iter().map(String::len).max().unwrap_or(0).max(40) + 1
}

/// Before the first benchmark.
pub fn begin_benches(output: &mut Output, names: &[String]) {
    let width = name_width(names);
    output.raw_text(&format!(
        "{:width$}{:TIME_WIDTH$}Iterations\n",
        "Benchmark", "Time(ns)"
    ));
    output.raw_text(&format!(
        "{}\n",
        "-".repeat(width + TIME_WIDTH + "Iterations".len())
    ));
}

/// After a benchmark: the mean time of one run.
pub fn report_bench(
    output: &mut Output,
    names: &[String],
    name: &str,
    mean: Duration,
    iterations: u32,
) {
    if output.form() == Form::Json {
        let value = Value::Record(vec![
            ("average".into(), Value::Uint(mean.as_nanos() as u64)),
            ("iters".into(), Value::Uint(u64::from(iterations))),
        ]);
        output.json_record("benchmark_result", name, &value);
        return;
    }
    let width = name_width(names);
    output.raw_text(&format!(
        "{name:width$}{:<TIME_WIDTH$}{iterations}\n",
        mean.as_nanos()
    ));
}
