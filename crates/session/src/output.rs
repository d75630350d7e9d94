//! Where results go: text or JSON Lines, buffered, flushed at record boundaries.

use std::io::{self, Write};

use beetrace_engine::Losses;

use crate::json::{write_json, write_key, write_string};
use crate::maps::{Item, Table};
use crate::place::Place;
use crate::resolve::Resolve;
use crate::text::{write_display, write_value};
use crate::value::Value;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    #[default]
    Text,
    Json,
}

/// When buffered output is written out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Buffering {
    /// After every round of records.
    #[default]
    Line,
    /// When the buffer is full, and at the end.
    Full,
    /// After every record.
    None,
}

/// Bytes kept before they are written in any case.
const CAPACITY: usize = 64 * 1024;

/// Writes results to `out`, and in text form what is no result to `err`.
pub struct Output {
    form: Form,
    buffering: Buffering,
    buffer: Vec<u8>,
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// The first failure to write; nothing more is written after it.
    failure: Option<io::Error>,
    /// Errors and warnings that scripts raised themselves (`errorf`).
    errors: u64,
}

impl Output {
    pub fn new(
        form: Form,
        buffering: Buffering,
        out: Box<dyn Write>,
        err: Box<dyn Write>,
    ) -> Output {
        Output {
            form,
            buffering,
            buffer: Vec::with_capacity(CAPACITY),
            out,
            err,
            failure: None,
            errors: 0,
        }
    }

    pub fn form(&self) -> Form {
        self.form
    }

    pub fn error_count(&self) -> u64 {
        self.errors
    }

    /// Appends one result; the closure writes straight into the buffer.
    fn emit(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.buffer);
        if self.buffering == Buffering::None || self.buffer.len() >= CAPACITY {
            self.flush();
        }
    }

    /// To be called when no more records wait.
    pub fn end_of_round(&mut self) {
        if self.buffering == Buffering::Line {
            self.flush();
        }
    }

    pub fn flush(&mut self) {
        if self.failure.is_none() {
            let result = self
                .out
                .write_all(&self.buffer)
                .and_then(|()| self.out.flush());
            self.failure = result.err();
        }
        self.buffer.clear();
    }

    /// Why results can no longer be written, e.g. the reader of a pipe is gone.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    pub fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// `printf`: `write` appends the formatted bytes.
    pub fn printf(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        match self.form {
            Form::Text => self.emit(write),
            Form::Json => {
                let mut text = Vec::new();
                write(&mut text);
                self.json_string("printf", &text);
            }
        }
    }

    fn json_string(&mut self, kind: &str, text: &[u8]) {
        self.emit(|out| {
            write_display(out, format_args!("{{\"type\": \"{kind}\", \"data\": "));
            write_string(out, text);
            out.extend_from_slice(b"}\n");
        });
    }

    /// A string result: as it is in text, with a type in JSON.
    fn string(&mut self, kind: &str, text: &[u8], line_break: bool) {
        match self.form {
            Form::Json => self.json_string(kind, text),
            Form::Text => self.emit(|out| {
                out.extend_from_slice(text);
                if line_break {
                    out.push(b'\n');
                }
            }),
        }
    }

    pub fn time(&mut self, text: &str) {
        self.string("time", text.as_bytes(), false);
    }

    pub fn cat(&mut self, contents: &[u8]) {
        self.string("cat", contents, false);
    }

    pub fn join(&mut self, text: &[u8]) {
        self.string("join", text, true);
    }

    /// What a command printed.
    pub fn system(&mut self, text: &[u8]) {
        self.string("syscall", text, true);
    }

    pub fn value(&mut self, value: &Value<'_>) {
        let form = self.form;
        self.emit(|out| match form {
            Form::Text => {
                write_value(out, value);
                out.push(b'\n');
            }
            Form::Json => {
                out.extend_from_slice(b"{\"type\": \"value\", \"data\": ");
                write_json(out, value);
                out.extend_from_slice(b"}\n");
            }
        });
    }

    pub fn map(&mut self, name: &str, table: &Table<'_>, resolve: &mut dyn Resolve) {
        match self.form {
            Form::Text => self.emit(|out| text_map(out, name, table, resolve)),
            Form::Json => self.emit(|out| json_map(out, name, table, resolve)),
        }
    }

    pub fn attached(&mut self, probes: usize) {
        match self.form {
            Form::Text => self.note(&format!("Attached {probes} probe{}\n", if probes == 1 { "" } else { "s" })),
            Form::Json => self.emit(|out| {
                write_display(
                    out,
                    format_args!("{{\"type\": \"attached_probes\", \"count\": {probes}, \"data\": {{\"probes\": {probes}}}}}\n"),
                );
            }),
        }
    }

    pub fn lost(&mut self, events: u64) {
        match self.form {
            Form::Text => self.note(&format!("Lost {events} events\n")),
            Form::Json => self.emit(|out| {
                write_display(
                    out,
                    format_args!("{{\"type\": \"lost_events\", \"count\": {events}, \"data\": {{\"events\": {events}}}}}\n"),
                );
            }),
        }
    }

    /// At the end: everything that was lost. Nothing where nothing was.
    pub fn losses(&mut self, losses: &Losses) {
        if *losses == Losses::default() {
            return;
        }
        match self.form {
            Form::Text => {
                let mut text = String::new();
                let mut tell = |n: u64, what: &str| {
                    if n > 0 {
                        text.push_str(&format!("WARNING: {what}: {n}\n"));
                    }
                };
                tell(losses.records, "Total lost event count");
                tell(losses.map_updates, "Map updates that failed");
                tell(losses.stacks, "Stacks that could not be kept");
                for (probe, n) in &losses.missed {
                    tell(*n, &format!("Events missed by {probe}"));
                }
                self.note(&text);
            }
            Form::Json => {
                let missed = losses
                    .missed
                    .iter()
                    .map(|(probe, n)| (probe.as_str().into(), Value::Uint(*n)));
                let data = Value::Record(vec![
                    ("events".into(), Value::Uint(losses.records)),
                    ("map_updates".into(), Value::Uint(losses.map_updates)),
                    ("stacks".into(), Value::Uint(losses.stacks)),
                    ("missed".into(), Value::Record(missed.collect())),
                ]);
                self.emit(|out| {
                    out.extend_from_slice(b"{\"type\": \"losses\", \"data\": ");
                    write_json(out, &data);
                    out.extend_from_slice(b"}\n");
                });
            }
        }
    }

    /// Anything for the person who watches, in text form on the error stream.
    pub fn note(&mut self, text: &str) {
        self.flush();
        // Nobody is left to be told that the error stream is gone.
        let _ = self
            .err
            .write_all(text.as_bytes())
            .and_then(|()| self.err.flush());
    }

    /// A message of the script, or about a program while it runs.
    pub fn message(&mut self, message: &Message<'_>) {
        if message.is_error {
            self.errors += 1;
        }
        match self.form {
            Form::Text => {
                let level = if message.is_error { "ERROR" } else { "WARNING" };
                let mut text = format!("{}: {level}: {}\n", message.place.range(), message.text);
                for fact in message.facts {
                    text.push_str(fact);
                    text.push('\n');
                }
                if message.quote {
                    text.push_str(&message.place.quote());
                }
                for call in &message.place.expansions {
                    text.push_str(&format!("{}: {level}: expanded from\n", call.range()));
                    text.push_str(&call.quote());
                }
                self.note(&text);
            }
            Form::Json => self.emit(|out| {
                write_display(
                    out,
                    format_args!("{{\"type\": \"{}\", \"msg\": ", message.kind),
                );
                write_string(out, message.text.as_bytes());
                for (name, value) in message.members {
                    write_display(out, format_args!(", \"{name}\": "));
                    write_json(out, value);
                }
                out.extend_from_slice(b", \"filename\": ");
                write_string(out, message.place.file.as_bytes());
                let (line, column) = (message.place.line, message.place.column);
                write_display(
                    out,
                    format_args!(", \"line\": {line}, \"col\": {column}}}\n"),
                );
            }),
        }
    }

    /// A result that only JSON Lines has a form for: `data` is a member of that name.
    pub fn json_record(&mut self, kind: &str, name: &str, value: &Value<'_>) {
        self.emit(|out| {
            write_display(out, format_args!("{{\"type\": \"{kind}\", \"data\": {{"));
            write_string(out, name.as_bytes());
            out.extend_from_slice(b": ");
            write_json(out, value);
            out.extend_from_slice(b"}}\n");
        });
    }

    /// Plain text between results; JSON Lines has none.
    pub fn raw_text(&mut self, text: &str) {
        if self.form == Form::Text {
            self.emit(|out| out.extend_from_slice(text.as_bytes()));
        }
    }
}

/// A message with its place in the script.
pub struct Message<'a> {
    /// The `type` of the JSON form.
    pub kind: &'static str,
    pub is_error: bool,
    pub text: &'a str,
    /// More lines of the text form.
    pub facts: &'a [String],
    /// More members of the JSON form.
    pub members: &'a [(&'static str, Value<'a>)],
    pub place: &'a Place,
    /// Whether the text form shows the source line.
    pub quote: bool,
}

fn text_item(out: &mut Vec<u8>, item: &Item<'_>, resolve: &mut dyn Resolve) {
    match item {
        Item::Plain(value) | Item::Stats(value) => write_value(out, value),
        Item::Histogram(rows) => rows.write_text(out),
        Item::Series(series) => series.write_text(out, resolve),
    }
}

/// Whether the item has lines of its own.
fn is_block(item: &Item<'_>) -> bool {
    matches!(item, Item::Histogram(_) | Item::Series(_))
}

fn text_map(out: &mut Vec<u8>, name: &str, table: &Table<'_>, resolve: &mut dyn Resolve) {
    match table {
        Table::Scalar(item) => {
            write_display(
                out,
                format_args!("{name}:{}", if is_block(item) { "\n" } else { " " }),
            );
            text_item(out, item, resolve);
            out.push(b'\n');
        }
        Table::Keyed(rows) => {
            for (key, item) in rows {
                write_display(out, format_args!("{name}["));
                text_key(out, key);
                out.extend_from_slice(if is_block(item) { b"]:\n" } else { b"]: " });
                text_item(out, item, resolve);
                out.push(b'\n');
            }
        }
    }
}

/// A tuple as a key shows without its parentheses.
fn text_key(out: &mut Vec<u8>, key: &Value<'_>) {
    let start = out.len();
    write_value(out, key);
    if out.len() - start >= 2 && out[start] == b'(' && out.ends_with(b")") {
        out.pop();
        out.remove(start);
    }
}

fn json_item(out: &mut Vec<u8>, item: &Item<'_>, resolve: &mut dyn Resolve) {
    match item {
        Item::Plain(value) | Item::Stats(value) => write_json(out, value),
        Item::Histogram(rows) => rows.write_json(out),
        Item::Series(series) => series.write_json(out, resolve),
    }
}

fn json_map(out: &mut Vec<u8>, name: &str, table: &Table<'_>, resolve: &mut dyn Resolve) {
    let first = match table {
        Table::Scalar(item) => item,
        Table::Keyed(rows) => match rows.first() {
            Some((_, item)) => item,
            None => return,
        },
    };
    let kind = match first {
        Item::Plain(_) => "map",
        Item::Stats(_) => "stats",
        Item::Histogram(_) => "hist",
        Item::Series(_) => "tseries",
    };
    write_display(out, format_args!("{{\"type\": \"{kind}\", \"data\": {{"));
    write_string(out, name.as_bytes());
    out.extend_from_slice(b": ");
    match table {
        Table::Scalar(item) => json_item(out, item, resolve),
        Table::Keyed(rows) => {
            for (i, (key, item)) in rows.iter().enumerate() {
                out.extend_from_slice(if i == 0 { b"{" } else { b", " });
                write_key(out, key);
                out.extend_from_slice(b": ");
                json_item(out, item, resolve);
            }
            out.push(b'}');
        }
    }
    out.extend_from_slice(b"}}\n");
}
