//! Comparing what was said with what was expected.

use regex_lite::Regex;

/// Compares texts line by line. An expected line `...` stands for any number of lines, one that starts with `~ ` is a
/// regular expression for a whole line, every other one is the line itself.
pub fn lines(expected: &str, actual: &str) -> Result<(), String> {
    let want: Vec<&str> = expected.lines().collect();
    let got: Vec<&str> = actual.lines().collect();
    let mut patterns = Vec::new();
    for line in &want {
        patterns.push(Pattern::new(line)?);
    }
    if matches(&patterns, &got) {
        Ok(())
    } else {
        Err(difference(&patterns, &want, &got))
    }
}

/// Every expected line is part of a line of `actual`, in the same order; one that starts with `! ` is part of none.
pub fn parts(expected: &str, actual: &str) -> Result<(), String> {
    let mut rest = actual.lines();
    for want in expected.lines() {
        if let Some(unwanted) = want.strip_prefix("! ") {
            if actual.contains(unwanted) {
                return Err(format!("unwanted: {unwanted}"));
            }
        } else if !rest.any(|line| line.contains(want)) {
            return Err(format!("missing, or not in this order: {want}"));
        }
    }
    Ok(())
}

/// Every line of a JSON output is a document of its own.
pub fn json(actual: &str) -> Result<(), String> {
    for line in actual.lines().filter(|l| !l.is_empty()) {
        serde_json::from_str::<serde_json::Value>(line)
            .map_err(|e| format!("not JSON: {e}: {line}"))?;
    }
    Ok(())
}

enum Pattern<'a> {
    Line(&'a str),
    Regex(Regex),
    Any,
}

impl<'a> Pattern<'a> {
    fn new(line: &'a str) -> Result<Pattern<'a>, String> {
        if line == "..." {
            return Ok(Pattern::Any);
        }
        match line.strip_prefix("~ ") {
            Some(regex) => Regex::new(&format!("^(?:{regex})$"))
                .map(Pattern::Regex)
                .map_err(|e| format!("bad expression `{regex}`: {e}")),
            None => Ok(Pattern::Line(line)),
        }
    }

    fn accepts(&self, line: &str) -> bool {
        match self {
            Pattern::Line(want) => *want == line,
            Pattern::Regex(regex) => regex.is_match(line),
            Pattern::Any => true,
        }
    }
}

fn matches(want: &[Pattern], got: &[&str]) -> bool {
    match (want.split_first(), got.split_first()) {
        (Some((Pattern::Any, rest)), _) => {
            (0..=got.len()).any(|skipped| matches(rest, &got[skipped..]))
        }
        (Some((first, want)), Some((line, got))) => first.accepts(line) && matches(want, got),
        (None, None) => true,
        _ => false,
    }
}

/// Both texts, the lines up to the first that differs left out.
fn difference(patterns: &[Pattern], want: &[&str], got: &[&str]) -> String {
    let same = patterns
        .iter()
        .zip(got)
        .take_while(|(p, line)| !matches!(p, Pattern::Any) && p.accepts(line))
        .count();
    let mut text = format!("from line {} on\nexpected:\n", same + 1);
    for line in &want[same..] {
        text += &format!("    {line}\n");
    }
    text += "got:\n";
    for line in &got[same..] {
        text += &format!("    {line}\n");
    }
    text
}
