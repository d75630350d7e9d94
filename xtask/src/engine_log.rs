//! What the log of the suite's engine says about each test.
//!
//! The log is gtest-like: a `RUN` line opens a test, an `OK`, `FAILED`, `TIMEOUT` or `SKIP` line closes it, the lines
//! after a failure say why, and a summary repeats the verdicts at the end with the reasons of the skips.

use std::collections::BTreeMap;

/// How one test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// The test did what it expects.
    Pass,
    /// It did not, or ran out of time.
    Fail,
    /// The engine found a requirement unmet.
    Skip,
    /// The engine ended before its turn came.
    NotRun,
}

impl Verdict {
    /// The word in result files.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Skip => "SKIP",
            Self::NotRun => "NOTRUN",
        }
    }

    /// The verdict that a result file names.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        [Self::Pass, Self::Fail, Self::Skip, Self::NotRun]
            .into_iter()
            .find(|verdict| verdict.word() == word)
    }
}

/// One test's verdict and, unless it passed, the engine's words about it in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) reason: String,
}

/// The outcome of each test of a suite, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SuiteLog {
    pub(crate) outcomes: BTreeMap<String, Outcome>,
    /// Whether the engine reached its summary: if not, tests without an outcome were never run.
    pub(crate) complete: bool,
}

const LONGEST_REASON: usize = 1500;

/// Reads the engine's log of one suite. When two tests share a name, the worse outcome stays.
pub(crate) fn parse(suite: &str, log: &str) -> SuiteLog {
    let mut found = SuiteLog::default();
    let mut failed: Option<String> = None;
    for line in log.lines() {
        if line.starts_with("[==========]") && line.contains(" ran.") {
            found.complete = true;
        }
        let Some((tag, rest)) = tagged(line) else {
            if let Some(outcome) = failed
                .as_ref()
                .and_then(|name| found.outcomes.get_mut(name))
            {
                append(&mut outcome.reason, line.trim());
            }
            continue;
        };
        failed = None;
        let Some(test) = rest
            .strip_prefix(suite)
            .and_then(|rest| rest.strip_prefix('.'))
        else {
            continue;
        };
        if found.complete {
            if tag == "SKIP" {
                explain_skip(&mut found.outcomes, test);
            }
            continue;
        }
        let verdict = match tag {
            "OK" => Verdict::Pass,
            "FAILED" | "TIMEOUT" => Verdict::Fail,
            "SKIP" => Verdict::Skip,
            _ => continue,
        };
        let name = without_time(test).to_string();
        let reason = if tag == "TIMEOUT" { "timeout" } else { "" }.to_string();
        let known = found.outcomes.get(&name);
        if known.is_none_or(|known| known.verdict < verdict) {
            found
                .outcomes
                .insert(name.clone(), Outcome { verdict, reason });
        }
        failed = (verdict == Verdict::Fail).then_some(name);
    }
    found
}

/// The tag and the text of a line like `[  FAILED  ] text`.
fn tagged(line: &str) -> Option<(&str, &str)> {
    let (tag, rest) = line.strip_prefix('[')?.split_once(']')?;
    let tag = tag.trim();
    ["RUN", "OK", "FAILED", "TIMEOUT", "SKIP", "PASSED"]
        .contains(&tag)
        .then_some((tag, rest.trim()))
}

/// `name (12 ms)` without the time.
fn without_time(test: &str) -> &str {
    match test.rsplit_once(" (") {
        Some((name, time)) if time.ends_with(" ms)") => name,
        _ => test,
    }
}

fn append(reason: &mut String, words: &str) {
    if words.is_empty() || reason.len() > LONGEST_REASON {
        return;
    }
    if !reason.is_empty() {
        reason.push_str(" | ");
    }
    reason.push_str(words);
}

/// Puts the reason of a summary line `name (reason)` where it belongs; names may hold parentheses themselves.
fn explain_skip(outcomes: &mut BTreeMap<String, Outcome>, line: &str) {
    for (name, outcome) in outcomes
        .iter_mut()
        .filter(|(_, outcome)| outcome.verdict == Verdict::Skip)
    {
        let reason = line
            .strip_prefix(name.as_str())
            .and_then(|rest| rest.strip_prefix(" ("));
        if let Some(reason) = reason.and_then(|rest| rest.strip_suffix(')')) {
            outcome.reason = reason.to_string();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
[==========] Running 4 tests from 1 test cases.

[----------] 4 tests from maps
[ RUN      ] maps.clear a map
[       OK ] maps.clear a map (410 ms)
[ RUN      ] maps.print (top)
[  FAILED  ] maps.print (top) (12 ms)
\tCommand: tracer -e 'x'
\tUnclean exit code: 1
[ RUN      ] maps.slow
[  TIMEOUT ] maps.slow
\tTimeout: 5
[   SKIP   ] maps.needs (a) feature
[----------] 4 tests from maps

[==========] 4 tests from 1 test cases ran. (423 ms total)
[  PASSED  ] 1 tests.
[   SKIP   ] 1 tests, listed below:
[   SKIP   ] maps.needs (a) feature (missed feature: 'iter')
[  FAILED  ] 2 tests, listed below:
[  FAILED  ] maps.print (top)
";

    fn lines(log: &SuiteLog) -> Vec<String> {
        log.outcomes
            .iter()
            .map(|(name, o)| format!("{name}: {} {}", o.verdict.word(), o.reason))
            .collect()
    }

    #[test]
    fn verdicts_and_reasons() {
        let log = parse("maps", LOG);
        assert!(log.complete);
        assert_eq!(
            lines(&log),
            [
                "clear a map: PASS ",
                "needs (a) feature: SKIP missed feature: 'iter'",
                "print (top): FAIL Command: tracer -e 'x' | Unclean exit code: 1",
                "slow: FAIL timeout | Timeout: 5",
            ]
        );
    }

    #[test]
    fn a_log_cut_short_is_not_complete() {
        let log = parse(
            "maps",
            &LOG[..LOG.find("[ RUN      ] maps.slow").unwrap_or(0)],
        );
        assert!(!log.complete);
        assert_eq!(log.outcomes.len(), 2);
    }

    #[test]
    fn the_worse_of_two_tests_of_one_name_counts() {
        let log = parse(
            "s",
            "[       OK ] s.x (1 ms)\n[  FAILED  ] s.x (1 ms)\n\twhy\n[       OK ] s.x (1 ms)\n",
        );
        assert_eq!(lines(&log), ["x: FAIL why"]);
    }
}
