//! What the guests said, for a person.

use std::fmt;

use super::guest::Output;
use super::packages::Kernel;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) ignored: usize,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            passed,
            failed,
            ignored,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {ignored} ignored")
    }
}

/// The runner's words, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) counts: Counts,
    tests: Vec<String>,
    /// What it says of the tests that failed.
    failures: Vec<String>,
}

impl Report {
    pub(super) fn read(output: &Output) -> Report {
        let mut report = Report::default();
        let mut is_result = false;
        for line in &output.lines {
            if let Some(result) = line.strip_prefix("test result: ") {
                report.counts = Counts {
                    passed: count(result, "passed"),
                    failed: count(result, "failed"),
                    ignored: count(result, "ignored"),
                };
                is_result = true;
            } else if is_test(line) {
                report.tests.push(line.clone());
            } else if !line.is_empty() && !line.starts_with("running ") {
                report.failures.push(line.clone());
            }
        }
        if !is_result {
            // What did not come to its end has failed, whatever passed before.
            report.counts.failed += 1;
            report.failures.push(format!(
                "the runner did not come to its end (exit {:?})",
                output.exit
            ));
            report.failures.extend(output.console.iter().cloned());
        }
        report
    }

    pub(super) fn show_tests(&self, kernel: &str) {
        for line in self.tests.iter().filter_map(|line| test_line(kernel, line)) {
            println!("{line}");
        }
    }

    pub(super) fn show_failures(&self, kernel: &Kernel) {
        if self.counts.failed > 0 {
            println!("\n{}, failures:\n", kernel.title());
            for line in &self.failures {
                println!("  {line}");
            }
        }
    }
}

fn is_test(line: &str) -> bool {
    line.starts_with("test ") && line.contains(" ... ")
}

/// The line of a test, with the kernel's name in it.
pub(super) fn test_line(kernel: &str, line: &str) -> Option<String> {
    let test = line.strip_prefix("test ").filter(|_| is_test(line))?;
    Some(format!("test {kernel}: {test}"))
}

fn count(text: &str, what: &str) -> usize {
    let number = |part: &str| part.trim().strip_suffix(what)?.trim().parse().ok();
    text.split([';', '.']).find_map(number).unwrap_or(0)
}

/// Shows outputs of one script, those that are the same together.
pub(super) fn compare(outputs: &[(&Kernel, Output)]) {
    let mut groups: Vec<(Vec<String>, &[String])> = Vec::new();
    for (kernel, output) in outputs {
        let ended = match output.exit {
            Some(0) => String::new(),
            Some(code) => format!(", exit {code}"),
            None => ", the machine ended".to_owned(),
        };
        let title = format!("{}{ended}", kernel.title());
        match groups.iter_mut().find(|(_, lines)| *lines == output.lines) {
            Some((titles, _)) => titles.push(title),
            None => groups.push((vec![title], &output.lines)),
        }
    }
    for (titles, lines) in groups {
        println!("=== {}", titles.join("; "));
        for line in lines {
            println!("{line}");
        }
        println!();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &str) -> Output {
        Output {
            lines: text.lines().map(str::to_owned).collect(),
            exit: Some(101),
            console: vec!["panic".into()],
            seconds: 1,
        }
    }

    #[test]
    fn takes_the_runner_at_its_word() {
        let text = "\nrunning 3 tests\ntest a/b ... ok\ntest [skipped: needs pmu] a/c ... ignored\n\
                    test a/d ... FAILED\n\nfailures:\n\n---- a/d ----\nline 1: no\n\n\
                    test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.00s\n";
        let report = Report::read(&output(text));
        let (passed, failed, ignored) = (1, 1, 1);
        assert_eq!(
            report.counts,
            Counts {
                passed,
                failed,
                ignored
            }
        );
        assert_eq!(report.tests.len(), 3);
        assert_eq!(
            report.failures,
            ["failures:", "---- a/d ----", "line 1: no"]
        );
        assert_eq!(
            test_line("6.1", &report.tests[0]).as_deref(),
            Some("test 6.1: a/b ... ok")
        );
    }

    #[test]
    fn a_machine_that_dies_is_a_failure() {
        let report = Report::read(&output("running 3 tests\ntest a/b ... ok\n"));
        assert_eq!(report.counts.failed, 1);
        assert_eq!(report.failures.last().map(String::as_str), Some("panic"));
    }
}
