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
/// Where an expected line has `...` in it, anything may stand.
pub fn parts(expected: &str, actual: &str) -> Result<(), String> {
    let mut rest = actual.lines();
    for want in expected.lines() {
        if let Some(unwanted) = want.strip_prefix("! ") {
            if actual.contains(unwanted) {
                return Err(format!("unwanted: {unwanted}"));
            }
        } else if !rest.any(|line| has_parts(line, want)) {
            return Err(format!("missing, or not in this order: {want}"));
        }
    }
    Ok(())
}

fn has_parts(line: &str, want: &str) -> bool {
    let mut rest = Some(line);
    for part in want.split("...") {
        rest = rest.and_then(|rest| Some(&rest[rest.find(part)? + part.len()..]));
    }
    rest.is_some()
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

/// Goes back to the last `...` where a line does not fit, and lets it stand for one line more.
fn matches(want: &[Pattern], got: &[&str]) -> bool {
    let (mut at, mut line) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match want.get(at) {
            Some(Pattern::Any) => {
                retry = Some((at + 1, line));
                at += 1;
                continue;
            }
            Some(pattern) if got.get(line).is_some_and(|l| pattern.accepts(l)) => {
                at += 1;
                line += 1;
                continue;
            }
            None if line == got.len() => return true,
            _ => {}
        }
        match &mut retry {
            Some((after, from)) if *from < got.len() => {
                *from += 1;
                (at, line) = (*after, *from);
            }
            _ => return false,
        }
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
