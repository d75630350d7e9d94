//! The configuration: defaults, then the script's `config` block, then the environment.

use beetrace_object::{MissingProbes, StackMode, SymbolCache};

use crate::ast::{Config, ConfigValue};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::expanded::{Settings, Stability};
use crate::options::Options;

const LICENSES: [&str; 6] = [
    "Dual MIT/GPL",
    "Dual BSD/GPL",
    "Dual MPL/GPL",
    "GPL and additional rights",
    "GPL v2",
    "GPL",
];

/// Prefixes of the environment's variables.
const PREFIXES: [&str; 2] = ["bpftrace_", "beetrace_"];

/// Variables of the environment that are no settings of a script.
const ENVIRONMENT_ONLY: [&str; 4] = ["btf", "kernel_build", "kernel_source", "vmlinux"];

/// Settings of the peer that change nothing here, because there is only one way to do what they choose.
const WITHOUT_EFFECT: [&str; 3] = [
    "use_blazesym",
    "unstable_import_statement",
    "unstable_typeinfo",
];

pub fn settle(block: Option<&Config>, options: &Options, diags: &mut Diagnostics) -> Settings {
    let mut settings = Settings::default();
    for entry in block.iter().flat_map(|b| &b.entries) {
        let value = Value::of(&entry.value);
        if let Err(e) = set(&mut settings, &entry.key.name, &value) {
            diags.push(complaint(&entry.key.name, e).at(entry.span, ""));
        }
    }
    for (name, text) in &options.environment {
        let lower = name.to_lowercase();
        let Some(key) = PREFIXES.iter().find_map(|p| lower.strip_prefix(p)) else {
            continue;
        };
        match set(&mut settings, key, &Value::Text(text)) {
            // The environment holds variables for others as well.
            Ok(()) | Err(Wrong::Unknown | Wrong::EnvironmentOnly) => {}
            Err(e) => diags.push(complaint(name, e)),
        }
    }
    settings
}

enum Value<'a> {
    Number(u64),
    Text(&'a str),
}

impl<'a> Value<'a> {
    fn of(value: &'a ConfigValue) -> Value<'a> {
        match value {
            ConfigValue::Int(n) => Value::Number(*n),
            ConfigValue::Bool(b) => Value::Number(u64::from(*b)),
            ConfigValue::Str(s) | ConfigValue::Word(s) => Value::Text(s),
        }
    }

    fn number(&self) -> Result<u64, Wrong> {
        match self {
            Value::Number(n) => Ok(*n),
            Value::Text(text) => text
                .parse()
                .map_err(|_| Wrong::Value(format!("expecting a number, got {text}"))),
        }
    }

    fn bool(&self) -> Result<bool, Wrong> {
        match self {
            Value::Number(n) => Ok(*n != 0),
            Value::Text(text) => match text.to_lowercase().as_str() {
                "1" | "true" => Ok(true),
                "0" | "false" => Ok(false),
                _ => Err(Wrong::Value(
                    "Invalid bool value: valid values are true, false, 1 or 0.".into(),
                )),
            },
        }
    }

    fn text(&self) -> String {
        match self {
            Value::Number(n) => n.to_string(),
            Value::Text(text) => (*text).to_string(),
        }
    }

    /// One of some words, in any case.
    fn word<T: Copy>(&self, words: &[(&str, T)], setting: &str, valid: &str) -> Result<T, Wrong> {
        let text = self.text().to_lowercase();
        let found = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value);
        found.ok_or_else(|| {
            Wrong::Value(format!(
                "Invalid value for {setting}: valid values are {valid}."
            ))
        })
    }
}

enum Wrong {
    Unknown,
    EnvironmentOnly,
    Renamed(&'static str),
    Value(String),
    License(String),
}

fn complaint(key: &str, wrong: Wrong) -> Diagnostic {
    match wrong {
        Wrong::Unknown => {
            Diagnostic::error("config", format!("{key}: not a known configuration option"))
        }
        Wrong::EnvironmentOnly => Diagnostic::error(
            "config",
            format!("{key}: can only be set as an environment variable"),
        ),
        Wrong::Renamed(name) => {
            Diagnostic::error("config", format!("key has been renamed to '{name}'"))
        }
        Wrong::Value(text) => Diagnostic::error("config", format!("{key}: {text}")),
        Wrong::License(found) => Diagnostic::error(
            "config",
            format!(
                "Invalid value for license. Found: {found}. Valid values: {}",
                LICENSES.join(", ")
            ),
        ),
    }
}

fn set(settings: &mut Settings, key: &str, value: &Value<'_>) -> Result<(), Wrong> {
    let lower = key.to_lowercase();
    let key = PREFIXES
        .iter()
        .find_map(|p| lower.strip_prefix(p))
        .unwrap_or(&lower);
    let config = &mut settings.config;
    match key {
        "cache_user_symbols" => {
            let words = [
                ("1", SymbolCache::Auto),
                ("per_pid", SymbolCache::PerPid),
                ("per_program", SymbolCache::PerProgram),
                ("none", SymbolCache::None),
                ("0", SymbolCache::None),
            ];
            config.cache_user_symbols =
                value.word(&words, key, "PER_PID, PER_PROGRAM, and NONE")?;
        }
        "cpp_demangle" => config.cpp_demangle = value.bool()?,
        "lazy_symbolication" => config.lazy_symbolication = value.bool()?,
        "license" => {
            let text = value.text();
            if !LICENSES.contains(&text.as_str()) {
                return Err(Wrong::License(text));
            }
            settings.license = text;
        }
        "log_size" => config.log_size = u32::try_from(value.number()?).unwrap_or(u32::MAX),
        "max_bpf_progs" => settings.max_bpf_progs = value.number()?,
        "max_cat_bytes" => config.max_cat_bytes = value.number()?,
        "max_map_keys" => settings.max_map_keys = value.number()?,
        "max_probes" => settings.max_probes = value.number()?,
        "max_strlen" => settings.max_strlen = value.number()?,
        "on_stack_limit" => settings.on_stack_limit = value.number()?,
        "perf_rb_pages" => config.perf_rb_pages = Some(value.number()?),
        "stack_mode" => {
            let words = [
                ("bpftrace", StackMode::Bpftrace),
                ("perf", StackMode::Perf),
                ("raw", StackMode::Raw),
                ("build_id", StackMode::BuildId),
            ];
            settings.stack_mode = value.word(&words, key, "bpftrace, perf, raw, and build_id")?;
        }
        "str_trunc_trailer" => config.str_trunc_trailer = value.text(),
        "missing_probes" => {
            let words = [
                ("ignore", MissingProbes::Ignore),
                ("warn", MissingProbes::Warn),
                ("error", MissingProbes::Error),
            ];
            config.missing_probes = value.word(&words, key, "ignore, warn, and error")?;
        }
        "print_maps_on_exit" => config.print_maps_on_exit = value.bool()?,
        "show_debug_info" => config.show_debug_info = value.bool()?,
        "unstable_tseries" => settings.unstable_tseries = stability(value)?,
        // Refused where it is used.
        "unstable_dw_ustack" => {
            stability(value)?;
        }
        _ if WITHOUT_EFFECT.contains(&key) => {}
        "strlen" => return Err(Wrong::Renamed("max_strlen")),
        "no_cpp_demangle" => return Err(Wrong::Renamed("cpp_demangle")),
        "cat_bytes_max" => return Err(Wrong::Renamed("max_cat_bytes")),
        "map_keys_max" => return Err(Wrong::Renamed("max_map_keys")),
        _ if ENVIRONMENT_ONLY.contains(&key) => return Err(Wrong::EnvironmentOnly),
        _ => return Err(Wrong::Unknown),
    }
    Ok(())
}

fn stability(value: &Value<'_>) -> Result<Stability, Wrong> {
    let words = [
        ("enable", Stability::Enable),
        ("1", Stability::Enable),
        ("true", Stability::Enable),
        ("warn", Stability::Warn),
        ("error", Stability::Error),
        ("0", Stability::Error),
        ("false", Stability::Error),
    ];
    value.word(&words, "unstable config", "enable, warn, and error")
}
