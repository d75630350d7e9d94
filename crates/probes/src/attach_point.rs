//! Attach points as text: `kprobe:vfs_read+4`, `uprobe:/bin/bash:"readline"`, `interval:s:1`.
//!
//! Parsing knows the providers' syntax and nothing of the system: wildcards stay, and whether the thing exists is for
//! [`resolve`](crate::resolve::resolve) to say.

use std::fmt;
use std::ops::Range;

use crate::counter::Counter;
use crate::fentry::FentryTarget;
use crate::iter::IterTarget;
use crate::kprobe::KprobeTarget;
use crate::number::parse_uint;
use crate::provider::{Listed, Provider};
use crate::timer::Timer;
use crate::uprobe::UprobePlace;
use crate::usdt::UsdtTarget;
use crate::watchpoint::Breakpoint;
use crate::wildcard::{Pattern, has_wildcard};
use crate::{counter, fentry, iter, kprobe, special, timer, tracepoint, uprobe, usdt, watchpoint};

/// One attach point, understood.
///
/// Displays as the name that `probe` gives and messages show, with short names and units expanded.
#[derive(Clone, Debug, PartialEq)]
pub struct AttachPoint {
    /// The name in front, of `name=provider:…`, which replaces the name that is shown.
    pub label: Option<String>,
    pub provider: Provider,
    pub target: Target,
    /// It stands for a wildcard in the provider's place: where it matches nothing nobody minds.
    pub from_wildcard: bool,
}

/// What follows the provider.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// `begin`, `end`
    None,
    /// `self:signal:NAME`
    Signal {
        name: String,
        number: i32,
    },
    /// `test:name`, `bench:name`
    Named(String),
    Timer(Timer),
    Counter(Counter),
    Tracepoint {
        category: String,
        name: String,
    },
    /// The module is `*` where none is given.
    RawTracepoint {
        module: String,
        name: String,
    },
    Uprobe(UprobePlace),
    Usdt(UsdtTarget),
    Iter(IterTarget),
    Watchpoint(Breakpoint),
    Kprobe(KprobeTarget),
    Fentry(FentryTarget),
}

/// What an attach point's text may refer to.
#[derive(Clone, Copy, Debug, Default)]
pub struct ParseOptions<'a> {
    /// `$1` is the first; those that are missing are empty.
    pub params: &'a [String],
    /// The process of `-p`: parts that it implies may be left out.
    pub pid: Option<u32>,
    /// `--unsafe`
    pub allow_unsafe: bool,
}

/// Why a text is no attach point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    pub message: String,
    /// Bytes of the text that it is about.
    pub range: Range<usize>,
    pub help: Option<String>,
    /// No error where a wildcard stood for the provider.
    pub(crate) skippable: bool,
}

impl ParseError {
    pub(crate) fn new(message: impl Into<String>, range: Range<usize>) -> Self {
        ParseError {
            message: message.into(),
            range,
            help: None,
            skippable: false,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn skippable(mut self) -> Self {
        self.skippable = true;
        self
    }
}

/// One of the texts between colons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) text: String,
    pub(crate) range: Range<usize>,
}

impl Part {
    pub(crate) fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(message, self.range.clone())
    }
}

/// What follows the provider, in parts, for the provider to understand.
pub(crate) struct Parts<'a> {
    pub(crate) provider: Provider,
    pub(crate) items: Vec<Part>,
    pub(crate) options: &'a ParseOptions<'a>,
    pub(crate) from_wildcard: bool,
    whole: Range<usize>,
}

impl Parts<'_> {
    pub(crate) fn text(&self, index: usize) -> &str {
        self.items.get(index).map_or("", |part| part.text.as_str())
    }

    /// An error about one part, or about everything where there is no such part.
    pub(crate) fn error_at(&self, index: usize, message: impl Into<String>) -> ParseError {
        match self.items.get(index) {
            Some(part) if !part.range.is_empty() => part.error(message),
            _ => ParseError::new(message, self.whole.clone()),
        }
    }

    pub(crate) fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(message, self.whole.clone())
    }

    pub(crate) fn count_error(&self, expected: &str) -> ParseError {
        self.error(format!(
            "{} probe type requires {expected} arguments, found {}",
            self.provider,
            self.items.len()
        ))
        .skippable()
    }
}

impl AttachPoint {
    /// Understands one attach point that stands alone: no positional parameters, no wildcard for the provider.
    pub fn parse(text: &str) -> Result<AttachPoint, ParseError> {
        AttachPoint::parse_with(text, &ParseOptions::default())
    }

    /// The same with all that a script's attach point may use, except for a wildcard in the provider's place.
    pub fn parse_with(text: &str, options: &ParseOptions<'_>) -> Result<AttachPoint, ParseError> {
        let (label, parts) = label_and_parts(text, options)?;
        let Some((front, rest)) = parts.split_first() else {
            return Err(ParseError::new(
                "Invalid attachpoint definition",
                0..text.len(),
            ));
        };
        let provider = find_provider(front)?;
        let parts = Parts {
            provider,
            items: rest.to_vec(),
            options,
            from_wildcard: false,
            whole: 0..text.len(),
        };
        Ok(AttachPoint {
            label,
            provider,
            target: parse_target(parts)?,
            from_wildcard: false,
        })
    }

    /// The same, and a wildcard in the provider's place gives one attach point for each provider that it may mean.
    /// An empty text, as behind a last comma, gives none.
    pub fn expand(text: &str, options: &ParseOptions<'_>) -> Result<Vec<AttachPoint>, ParseError> {
        let (label, parts) = label_and_parts(text, options)?;
        let Some((front, rest)) = parts.split_first() else {
            return Ok(Vec::new());
        };
        if front.text.is_empty() {
            return Ok(Vec::new());
        }
        if !has_wildcard(&front.text) {
            return AttachPoint::parse_with(text, options).map(|point| vec![point]);
        }
        let user =
            options.pid.is_some() || rest.first().is_some_and(|part| part.text.contains('/'));
        // A lone word is what to look for, not where.
        let (pattern, items) = match rest {
            [] => (Pattern::new("*"), vec![front.clone()]),
            rest => (Pattern::new(&front.text), rest.to_vec()),
        };
        let listed = if user { Listed::User } else { Listed::Kernel };
        let providers = Provider::matching(&pattern, listed);
        if providers.is_empty() {
            return Err(front.error(format!("No probe type matched for {}", front.text)));
        }
        let mut points = Vec::new();
        for provider in providers {
            let parts = Parts {
                provider,
                items: items.clone(),
                options,
                from_wildcard: true,
                whole: 0..text.len(),
            };
            match parse_target(parts) {
                Ok(target) => points.push(AttachPoint {
                    label: label.clone(),
                    provider,
                    target,
                    from_wildcard: true,
                }),
                Err(error) if error.skippable => {}
                Err(error) => return Err(error),
            }
        }
        Ok(points)
    }
}

/// Refuses attach points that do not go together in one probe of a script. Gives the index of the offender.
pub fn check_probe(points: &[AttachPoint]) -> Result<(), (usize, String)> {
    let mut iters = points
        .iter()
        .enumerate()
        .filter(|(_, point)| point.provider == Provider::Iter);
    match (iters.next(), iters.next()) {
        (Some(_), Some((second, _))) => {
            Err((second, "iter probe only supports one attach point.".into()))
        }
        _ => Ok(()),
    }
}

/// Finds `test` and `bench` probes of the same name in a whole script: the indices of the second and of the first, and
/// what to say about the second. About the first say `this is the other instance`.
pub fn duplicate_name(points: &[AttachPoint]) -> Option<(usize, usize, String)> {
    points.iter().enumerate().find_map(|(second, point)| {
        let Target::Named(name) = &point.target else {
            return None;
        };
        let first = points[..second].iter().position(|earlier| {
            earlier.provider == point.provider && earlier.target == point.target
        })?;
        let kind = point.provider.name().to_uppercase();
        Some((
            second,
            first,
            format!("\"{name}\" was used as the name for more than one {kind} probe"),
        ))
    })
}

fn parse_target(parts: Parts<'_>) -> Result<Target, ParseError> {
    match parts.provider {
        Provider::Begin | Provider::End => special::parse_plain(&parts),
        Provider::SelfProbe => special::parse_signal(&parts),
        Provider::Test | Provider::Bench => special::parse_named(&parts),
        Provider::Interval | Provider::Profile => timer::parse(&parts).map(Target::Timer),
        Provider::Software | Provider::Hardware => counter::parse(&parts).map(Target::Counter),
        Provider::Tracepoint => tracepoint::parse(&parts),
        Provider::RawTracepoint => tracepoint::parse_raw(&parts),
        Provider::Uprobe | Provider::Uretprobe => uprobe::parse(parts).map(Target::Uprobe),
        Provider::Usdt => usdt::parse(&parts).map(Target::Usdt),
        Provider::Iter => iter::parse(&parts).map(Target::Iter),
        Provider::Watchpoint => watchpoint::parse(&parts).map(Target::Watchpoint),
        Provider::Kprobe | Provider::Kretprobe => kprobe::parse(&parts).map(Target::Kprobe),
        Provider::Fentry | Provider::Fexit => fentry::parse(&parts).map(Target::Fentry),
    }
}

fn find_provider(front: &Part) -> Result<Provider, ParseError> {
    Provider::find(&front.text).ok_or_else(|| {
        let lower = front.text.to_ascii_lowercase();
        let error = front.error(format!("Invalid probe type: {lower}"));
        match (lower.as_str(), Provider::suggest(&lower)) {
            ("asyncwatchpoint" | "aw", _) => error.help(
                "asynchronous watchpoints no longer exist; watch an address with `watchpoint:ADDRESS:LENGTH:MODE`",
            ),
            (_, Some(provider)) => error.help(format!("did you mean `{provider}`?")),
            (_, None) => error,
        }
    })
}

/// The label and the parts, the provider first.
fn label_and_parts(
    text: &str,
    options: &ParseOptions<'_>,
) -> Result<(Option<String>, Vec<Part>), ParseError> {
    let mut parts = split(text, options.params)?;
    let mut label = None;
    if let Some(front) = parts.first_mut()
        && let Some((name, provider)) = front.text.split_once('=')
        && !provider.is_empty()
    {
        label = Some(name.to_owned());
        front.range.start = (front.range.start + name.len() + 1).min(front.range.end);
        front.text = provider.to_owned();
    }
    Ok((label, parts))
}

/// Splits at `:` and `@` outside quotes and replaces positional parameters there. An `@` is a part of its own.
fn split(text: &str, params: &[String]) -> Result<Vec<Part>, ParseError> {
    let mut parts = Vec::new();
    let mut part = Part {
        text: String::new(),
        range: 0..0,
    };
    let mut quoted = false;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let end = at + c.len_utf8();
        match c {
            ':' | '@' if !quoted => {
                parts.push(finish(&mut part, at, end));
                if c == '@' {
                    parts.push(Part {
                        text: "@".into(),
                        range: at..end,
                    });
                }
            }
            '"' => quoted = !quoted,
            '\\' if quoted => {
                if let Some((_, escaped)) = chars.next() {
                    part.text.push(escaped);
                }
            }
            '$' if !quoted => {
                let mut digits = String::new();
                while let Some((_, digit)) =
                    chars.next_if(|(_, d)| d.is_ascii_digit() && !(digits.is_empty() && *d == '0'))
                {
                    digits.push(digit);
                }
                let range = at..end + digits.len();
                match (digits.as_str(), chars.peek()) {
                    ("", Some((_, next))) => {
                        let message = format!(
                            "invalid trailing character for positional param: {next}. Try quoting this entire part if \
                             this is intentional e.g. \"${next}\"."
                        );
                        return Err(ParseError::new(message, range));
                    }
                    (digits, _) => {
                        let index = parse_uint(digits).map_err(|e| {
                            ParseError::new(
                                format!("positional parameter is not valid: {e}"),
                                range.clone(),
                            )
                        })?;
                        let param = usize::try_from(index)
                            .ok()
                            .and_then(|index| params.get(index.checked_sub(1)?));
                        let value = param.map_or("", String::as_str);
                        for (i, text) in value.split(':').enumerate() {
                            if i > 0 {
                                parts.push(finish(&mut part, range.end, range.start));
                            }
                            part.text.push_str(text);
                        }
                    }
                }
            }
            c => part.text.push(c),
        }
    }
    parts.push(finish(&mut part, text.len(), text.len()));
    Ok(parts)
}

/// Takes the part that ends at `end`; the next one begins at `next`.
fn finish(part: &mut Part, end: usize, next: usize) -> Part {
    let start = part.range.start;
    let text = std::mem::take(&mut part.text);
    part.range = next..next;
    Part {
        text,
        range: start..end,
    }
}

impl fmt::Display for AttachPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(label) = &self.label {
            return f.write_str(label);
        }
        write!(f, "{}", self.provider)?;
        match &self.target {
            Target::None => Ok(()),
            Target::Signal { name, .. } => write!(f, ":signal:{name}"),
            Target::Named(name) => write!(f, ":{name}"),
            Target::Timer(timer) => write!(f, ":{timer}"),
            Target::Counter(counter) => write!(f, ":{counter}"),
            Target::Tracepoint { category, name } => write!(f, ":{category}:{name}"),
            Target::RawTracepoint { module, name } => write!(f, ":{module}:{name}"),
            Target::Uprobe(place) => write!(f, ":{place}"),
            Target::Usdt(usdt) => write!(f, "{usdt}"),
            Target::Iter(iter) => write!(f, ":{}", iter.kind),
            Target::Watchpoint(breakpoint) => write!(f, ":{breakpoint}"),
            Target::Kprobe(kprobe) => write!(f, "{kprobe}"),
            Target::Fentry(fentry) => write!(f, "{fentry}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str, options: &ParseOptions<'_>) -> Result<Vec<String>, String> {
        AttachPoint::expand(text, options)
            .map(|points| points.iter().map(ToString::to_string).collect())
            .map_err(|error| error.message)
    }

    fn names(names: &[&str]) -> Result<Vec<String>, String> {
        Ok(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_wildcard_stands_for_providers() {
        let none = ParseOptions::default();
        assert_eq!(
            expand("*:*sleep*", &none),
            names(&[
                "fentry:*:*sleep*",
                "kprobe:*sleep*",
                "rawtracepoint:*:*sleep*",
                "tracepoint:*:*sleep*",
            ])
        );
        assert_eq!(expand("*sleep*", &none), expand("*:*sleep*", &none));
        assert_eq!(
            expand("?*:x", &none),
            Err("No probe type matched for ?*".into())
        );
        assert_eq!(expand("k*:vfs_*", &none), names(&["kprobe:vfs_*"]));
        assert_eq!(
            expand("*:/bin/sh:main", &none),
            names(&["uprobe:/bin/sh:main", "usdt:/bin/sh:main"])
        );
        let process = ParseOptions {
            pid: Some(1),
            ..none
        };
        assert_eq!(
            expand("*:*:f*", &process),
            names(&["uprobe:*:f*", "usdt:*:f*"])
        );
        assert_eq!(expand("", &none), names(&[]));
    }

    #[test]
    fn parameters_are_replaced_outside_quotes() {
        let params = ["7".to_owned(), "/bin/sh".to_owned()];
        let options = ParseOptions {
            params: &params,
            ..ParseOptions::default()
        };
        assert_eq!(expand("interval:s:$1", &options), names(&["interval:s:7"]));
        assert_eq!(
            expand("uprobe:$2:f+$1$1", &options),
            names(&["uprobe:/bin/sh:f+77"])
        );
        assert_eq!(
            expand("uprobe:$2:\"$1\"", &options),
            names(&["uprobe:/bin/sh:$1"])
        );
        let whole = ["i:ms".to_owned(), "7".to_owned()];
        let options_of_whole = ParseOptions {
            params: &whole,
            ..ParseOptions::default()
        };
        assert_eq!(
            expand("$1:$2", &options_of_whole),
            names(&["interval:ms:7"])
        );
        assert_eq!(
            expand("interval:$3", &options),
            Err("Invalid rate of interval probe: invalid integer: ".into())
        );
        assert_eq!(
            expand("interval:$a", &options),
            Err(
                "invalid trailing character for positional param: a. Try quoting this entire part if this is \
                 intentional e.g. \"$a\"."
                    .into()
            )
        );
    }

    #[test]
    fn quotes_keep_colons() {
        assert_eq!(
            expand("uprobe:/bin/sh:cpp:\"a::b(int)\"", &ParseOptions::default()),
            names(&["uprobe:/bin/sh:cpp:a::b(int)"])
        );
        assert_eq!(
            expand(
                r#"usdt:/bin/sh:test:"\"probe1\"""#,
                &ParseOptions::default()
            ),
            names(&["usdt:/bin/sh:test:\"probe1\""])
        );
    }

    #[test]
    fn a_label_replaces_the_name() {
        let point = AttachPoint::parse("mine=kprobe:f").unwrap();
        assert_eq!(point.label.as_deref(), Some("mine"));
        assert_eq!(point.to_string(), "mine");
        assert_eq!(point.provider, Provider::Kprobe);
    }

    #[test]
    fn errors_know_their_place() {
        for (text, range, help) in [
            ("kprob:f", "kprob", Some("did you mean `kprobe`?")),
            (
                "interval:m:1",
                "m",
                Some("the units are `s`, `ms`, `us` and `hz`"),
            ),
            ("software:cpu:x", "x", None),
            (
                "x=uprobe:/bin/sh:go:f",
                "go",
                Some("the languages are `cpp` and `rust`"),
            ),
            ("kprobe", "kprobe", None),
            (
                "asyncwatchpoint:1:8:w",
                "asyncwatchpoint",
                Some(
                    "asynchronous watchpoints no longer exist; watch an address with \
                     `watchpoint:ADDRESS:LENGTH:MODE`",
                ),
            ),
        ] {
            let error = AttachPoint::parse(text).unwrap_err();
            assert_eq!(&text[error.range.clone()], range, "{text}");
            assert_eq!(error.help.as_deref(), help, "{text}");
        }
    }

    #[test]
    fn probes_check_their_attach_points_together() {
        let parse = |texts: &[&str]| -> Vec<AttachPoint> {
            texts
                .iter()
                .map(|t| AttachPoint::parse(t).unwrap())
                .collect()
        };
        assert_eq!(
            check_probe(&parse(&["iter:task", "iter:task_file"])),
            Err((1, "iter probe only supports one attach point.".into()))
        );
        assert_eq!(check_probe(&parse(&["begin", "iter:task"])), Ok(()));
        assert_eq!(
            duplicate_name(&parse(&["bench:a", "test:a", "bench:a"])),
            Some((
                2,
                0,
                "\"a\" was used as the name for more than one BENCH probe".into()
            ))
        );
        assert_eq!(
            duplicate_name(&parse(&["bench:a", "test:a", "bench:b"])),
            None
        );
    }
}
