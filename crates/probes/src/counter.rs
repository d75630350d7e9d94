//! Counting events of the kernel and of the processor: `software:EVENT:COUNT` and `hardware:EVENT:COUNT`.

use std::fmt;

use beetrace_object::{Event, ProgramKind};

use crate::attach_point::{AttachPoint, ParseError, Parts};
use crate::number::parse_uint;
use crate::provider::{Provider, distance};
use crate::wildcard::has_wildcard;
use crate::{Arguments, Context, Match};

/// One event and how often it fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// As written: the full name or its other name.
    pub event: String,
    /// One call every so many events; `None` takes the event's own default.
    pub count: Option<u64>,
}

struct Known {
    name: &'static str,
    alias: Option<&'static str>,
    /// `PERF_COUNT_SW_*` or `PERF_COUNT_HW_*` (include/uapi/linux/perf_event.h).
    number: u64,
    default_count: u64,
}

const fn known(
    name: &'static str,
    alias: Option<&'static str>,
    number: u64,
    default_count: u64,
) -> Known {
    Known {
        name,
        alias,
        number,
        default_count,
    }
}

const SOFTWARE: &[Known] = &[
    known("alignment-faults", None, 7, 1),
    known("bpf-output", None, 10, 1),
    known("context-switches", Some("cs"), 3, 1_000),
    known("cpu-clock", Some("cpu"), 0, 1_000_000),
    known("cpu-migrations", None, 4, 1),
    known("dummy", None, 9, 1),
    known("emulation-faults", None, 8, 1),
    known("major-faults", None, 6, 1),
    known("minor-faults", None, 5, 100),
    known("page-faults", Some("faults"), 2, 100),
    known("task-clock", None, 1, 1),
];

const HARDWARE: &[Known] = &[
    known("backend-stalls", None, 8, 1_000_000),
    known("branch-instructions", Some("branches"), 4, 100_000),
    known("branch-misses", None, 5, 100_000),
    known("bus-cycles", None, 6, 100_000),
    known("cache-misses", None, 3, 1_000_000),
    known("cache-references", None, 2, 1_000_000),
    known("cpu-cycles", Some("cycles"), 0, 1_000_000),
    known("frontend-stalls", None, 7, 1_000_000),
    known("instructions", None, 1, 1_000_000),
    known("ref-cycles", None, 9, 1_000_000),
];

fn table(provider: Provider) -> &'static [Known] {
    match provider {
        Provider::Hardware => HARDWARE,
        _ => SOFTWARE,
    }
}

fn find(provider: Provider, name: &str) -> Option<&'static Known> {
    table(provider)
        .iter()
        .find(|event| event.name == name || event.alias == Some(name))
}

/// All names of a provider's events, other names included.
pub(crate) fn names(provider: Provider) -> impl Iterator<Item = &'static str> {
    table(provider)
        .iter()
        .flat_map(|event| std::iter::once(event.name).chain(event.alias))
}

pub(crate) fn parse(parts: &Parts<'_>) -> Result<Counter, ParseError> {
    let provider = parts.provider;
    if !matches!(parts.items.len(), 1 | 2) {
        return Err(parts.count_error("1 or 2"));
    }
    let count = match parts.text(1) {
        _ if parts.items.len() == 1 => None,
        "*" | "" => None,
        text => Some(parse_uint(text).map_err(|error| {
            parts.error_at(1, format!("Invalid count for {provider} probe: {error}"))
        })?),
    };
    let event = parts.text(0);
    if event.is_empty() {
        return Err(parts.error(format!(
            "{provider} probe must have a {provider} event name"
        )));
    }
    if has_wildcard(event) {
        return Err(parts
            .error_at(
                0,
                format!("wildcards are not allowed for {provider} probe type"),
            )
            .skippable());
    }
    if find(provider, event).is_none() {
        let error = parts.error_at(0, format!("{event} is not a {provider} probe"));
        let near = names(provider).min_by_key(|name| distance(event, name));
        return Err(match near {
            Some(name) if distance(event, name) <= 2 => {
                error.help(format!("did you mean `{provider}:{name}`?"))
            }
            _ => error.help(format!(
                "`-l '{provider}:*'` shows the events that there are"
            )),
        }
        .skippable());
    }
    Ok(Counter {
        event: event.to_owned(),
        count: count.filter(|count| *count != 0),
    })
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.event)?;
        match self.count {
            Some(count) => write!(f, ":{count}"),
            None => Ok(()),
        }
    }
}

pub(crate) fn resolve(point: &AttachPoint, counter: &Counter) -> Option<Match> {
    let known = find(point.provider, &counter.event)?;
    let count = counter.count.unwrap_or(known.default_count);
    let event = match point.provider {
        Provider::Hardware => Event::Hardware {
            event: known.number,
            cache: false,
            count,
        },
        _ => Event::Software {
            event: known.number,
            count,
        },
    };
    Some(Match::new(
        point.to_string(),
        event,
        ProgramKind::PerfEvent,
        Context::PerfEvent,
        Arguments::None,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach_point::Target;

    fn counter(text: &str) -> Match {
        let point = AttachPoint::parse(text).unwrap();
        let Target::Counter(counter) = &point.target else {
            panic!("{text} is no counter")
        };
        resolve(&point, counter).unwrap()
    }

    #[test]
    fn names_stay_as_written() {
        for (text, name, event) in [
            (
                "software:cpu:100000",
                "software:cpu:100000",
                Event::Software {
                    event: 0,
                    count: 100_000,
                },
            ),
            (
                "s:faults:",
                "software:faults",
                Event::Software {
                    event: 2,
                    count: 100,
                },
            ),
            (
                "h:cache-misses:1e6",
                "hardware:cache-misses:1000000",
                Event::Hardware {
                    event: 3,
                    cache: false,
                    count: 1_000_000,
                },
            ),
            (
                "hardware:branches",
                "hardware:branches",
                Event::Hardware {
                    event: 4,
                    cache: false,
                    count: 100_000,
                },
            ),
        ] {
            let found = counter(text);
            assert_eq!((found.spec.name.as_str(), found.spec.event), (name, event));
        }
    }

    #[test]
    fn refuses() {
        for (text, message, help) in [
            (
                "software",
                "software probe type requires 1 or 2 arguments, found 0",
                None,
            ),
            (
                "software:",
                "software probe must have a software event name",
                None,
            ),
            (
                "software:tomato",
                "tomato is not a software probe",
                Some("`-l 'software:*'` shows the events that there are"),
            ),
            (
                "software:cpu-clok:1",
                "cpu-clok is not a software probe",
                Some("did you mean `software:cpu-clock`?"),
            ),
            (
                "hardware:*:1",
                "wildcards are not allowed for hardware probe type",
                None,
            ),
            (
                "software:cpu:x",
                "Invalid count for software probe: invalid integer: x",
                None,
            ),
        ] {
            let error = AttachPoint::parse(text).unwrap_err();
            assert_eq!(error.message, message, "{text}");
            assert_eq!(error.help.as_deref(), help, "{text}");
        }
    }
}
