//! Probes that beetrace itself fires: `begin`, `end`, `self:signal:SIGUSR1`, `test:name`, `bench:name`.

use beetrace_object::{Event, ProgramKind};

use crate::attach_point::{AttachPoint, ParseError, Parts, Target};
use crate::provider::Provider;
use crate::{Arguments, Context, Match};

/// Signals to beetrace that a script may handle.
pub(crate) const SIGNALS: &[(&str, i32)] = &[("SIGUSR1", libc::SIGUSR1)];

pub(crate) fn parse_plain(parts: &Parts<'_>) -> Result<Target, ParseError> {
    match parts.items.as_slice() {
        [] => Ok(Target::None),
        [only] if only.text == "*" => Ok(Target::None),
        _ => Err(parts.count_error("0")),
    }
}

pub(crate) fn parse_signal(parts: &Parts<'_>) -> Result<Target, ParseError> {
    let [trigger, event] = parts.items.as_slice() else {
        return Err(parts.count_error("2"));
    };
    if trigger.text != "signal" {
        return Err(trigger
            .error(format!("{} is not a supported trigger", trigger.text))
            .help("the only trigger is `signal`, as in `self:signal:SIGUSR1`"));
    }
    match SIGNALS.iter().find(|(name, _)| *name == event.text) {
        Some((name, number)) => Ok(Target::Signal {
            name: (*name).into(),
            number: *number,
        }),
        None => Err(event
            .error(format!("{} is not a supported signal", event.text))
            .help("the only signal is `SIGUSR1`")),
    }
}

pub(crate) fn parse_named(parts: &Parts<'_>) -> Result<Target, ParseError> {
    let [name] = parts.items.as_slice() else {
        return Err(parts.count_error("1"));
    };
    if name.text.is_empty() {
        return Err(parts.error(format!("{} probes must have a name", parts.provider)));
    }
    Ok(Target::Named(name.text.clone()))
}

pub(crate) fn resolve(point: &AttachPoint) -> Option<Match> {
    let event = match (point.provider, &point.target) {
        (Provider::Begin, _) => Event::Begin,
        (Provider::End, _) => Event::End,
        (_, Target::Signal { number, .. }) => Event::SelfSignal { signal: *number },
        (Provider::Test, Target::Named(name)) => Event::Test { name: name.clone() },
        (Provider::Bench, Target::Named(name)) => Event::Bench { name: name.clone() },
        _ => return None,
    };
    Some(Match::new(
        point.to_string(),
        event,
        ProgramKind::Syscall,
        Context::None,
        Arguments::None,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        AttachPoint::parse(text)
            .map(|point| point.to_string())
            .map_err(|error| error.message)
    }

    #[test]
    fn parses() {
        assert_eq!(parse("BEGIN"), Ok("begin".into()));
        assert_eq!(parse("end"), Ok("end".into()));
        assert_eq!(parse("begin:*"), Ok("begin".into()));
        assert_eq!(
            parse("self:signal:SIGUSR1"),
            Ok("self:signal:SIGUSR1".into())
        );
        assert_eq!(parse("test:a"), Ok("test:a".into()));
        assert_eq!(parse("BENCH:x"), Ok("bench:x".into()));
    }

    #[test]
    fn refuses() {
        for (text, message) in [
            ("begin:x", "begin probe type requires 0 arguments, found 1"),
            (
                "self:signal",
                "self probe type requires 2 arguments, found 1",
            ),
            ("self:foo:bar", "foo is not a supported trigger"),
            ("self:signal:sighup", "sighup is not a supported signal"),
            ("test:", "test probes must have a name"),
            ("bench", "bench probe type requires 1 arguments, found 0"),
        ] {
            assert_eq!(parse(text), Err(message.into()), "{text}");
        }
    }

    #[test]
    fn resolves_without_a_system() {
        let point = AttachPoint::parse("self:signal:SIGUSR1").unwrap();
        let found = resolve(&point).unwrap();
        assert_eq!(found.spec.name, "self:signal:SIGUSR1");
        assert_eq!(
            found.spec.event,
            Event::SelfSignal {
                signal: libc::SIGUSR1
            }
        );
        assert_eq!(found.kind, ProgramKind::Syscall);
    }
}
