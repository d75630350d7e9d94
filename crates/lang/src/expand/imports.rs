//! Scripts and headers that a script imports.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ast::{CItem, Import, Script};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::options::Options;
use crate::parser;
use crate::span::{Source, SourceId, Sources};
use crate::stdlib;

use super::includes::{self, Header};

/// Where imported files are read from.
pub trait ImportFiles {
    fn read(&self, path: &Path) -> Result<String, String>;
    fn exists(&self, path: &Path) -> bool {
        self.read(path).is_ok()
    }
    /// Files of a directory, not of those below it; `None` where the path is no directory.
    fn list(&self, path: &Path) -> Option<Vec<PathBuf>>;
    /// Whether anybody may change the directory that the file is in.
    fn is_world_writable(&self, directory: &Path) -> bool;
}

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileSystem;

impl ImportFiles for FileSystem {
    fn read(&self, path: &Path) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|e| e.to_string())
    }

    fn exists(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn list(&self, path: &Path) -> Option<Vec<PathBuf>> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(path)
            .ok()?
            .flatten()
            .map(|e| e.path())
            .collect();
        files.sort();
        Some(files)
    }

    fn is_world_writable(&self, directory: &Path) -> bool {
        let directory = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            directory
        };
        std::fs::metadata(directory).is_ok_and(|m| m.permissions().mode() & 0o002 != 0)
    }
}

/// Parses the root script and everything that it imports into one. What an imported script holds comes before what the
/// importer has, so that its `begin` probes run first.
pub fn load(
    root: SourceId,
    sources: &mut Sources,
    files: &dyn ImportFiles,
    options: &Options,
    diags: &mut Diagnostics,
) -> Script {
    let text = sources
        .get(root)
        .map(|s| (s.text.clone(), PathBuf::from(&s.name)));
    let Some((text, path)) = text else {
        return Script::default();
    };
    let mut loader = Loader {
        sources,
        files,
        include_dirs: &options.include_dirs,
        diags,
        seen: HashSet::new(),
        merged: Script::default(),
    };
    let mut script = parser::parse(root, &text, loader.diags);
    for header in &options.includes {
        if let Err(message) = loader.header(header) {
            loader.diags.push(Diagnostic::error("include", message));
        }
    }
    let directory = path.parent().unwrap_or(Path::new(""));
    loader.imports(&script.imports, directory);
    script.c_items = loader.includes(script.c_items, directory);
    let mut merged = loader.merged;
    script.imports.clear();
    let config = script.config.take();
    merge(&mut merged, script);
    merged.config = config;
    merged
}

fn merge(into: &mut Script, from: Script) {
    into.c_items.extend(from.c_items);
    into.maps.extend(from.maps);
    into.macros.extend(from.macros);
    into.probes.extend(from.probes);
}

struct Loader<'a> {
    sources: &'a mut Sources,
    files: &'a dyn ImportFiles,
    include_dirs: &'a [PathBuf],
    diags: &'a mut Diagnostics,
    seen: HashSet<PathBuf>,
    merged: Script,
}

impl Loader<'_> {
    fn imports(&mut self, imports: &[Import], directory: &Path) {
        for import in imports {
            let path = directory.join(&import.path);
            if stdlib::is_part(&import.path) {
                continue;
            }
            match self.files.list(&path) {
                Some(entries) => {
                    let supported =
                        |p: &PathBuf| p.extension().is_some_and(|e| e == "bt" || e == "h");
                    for file in entries.into_iter().filter(supported) {
                        self.file(&file, import);
                    }
                }
                None => self.file(&path, import),
            }
        }
    }

    /// The definitions with those of included headers in the places of the includes.
    fn includes(&mut self, items: Vec<CItem>, directory: &Path) -> Vec<CItem> {
        let mut all = Vec::new();
        for item in items {
            let CItem::Include { path, system, span } = item else {
                all.push(item);
                continue;
            };
            let beside = (!system).then_some(directory);
            let found = includes::find(&path, beside, self.include_dirs, self.files);
            let failure = match found {
                Header::Known => continue,
                Header::Missing => format!("'{path}' file not found"),
                Header::File(file) => match self.header_items(&file) {
                    Ok(items) => {
                        all.extend(items);
                        continue;
                    }
                    Err(e) => format!("cannot include `{}`: {e}", file.display()),
                },
            };
            self.diags.push(
                Diagnostic::error("include", failure)
                    .at(span, "")
                    .help("name its directory with -I"),
            );
        }
        all
    }

    /// Takes in a header in front of the script.
    fn header(&mut self, path: &Path) -> Result<(), String> {
        let here = Some(Path::new(""));
        let shown = path.display();
        match includes::find(&shown.to_string(), here, self.include_dirs, self.files) {
            Header::Known => {}
            Header::Missing => return Err(format!("'{shown}' file not found")),
            Header::File(file) => {
                let items = self.header_items(&file);
                let items =
                    items.map_err(|e| format!("cannot include `{}`: {e}", file.display()))?;
                self.merged.c_items.extend(items);
            }
        }
        Ok(())
    }

    /// What a header defines, with all that it includes; nothing where it was taken in before.
    fn header_items(&mut self, path: &Path) -> Result<Vec<CItem>, String> {
        if !self.seen.insert(path.to_path_buf()) {
            return Ok(Vec::new());
        }
        let text: Arc<str> = self.files.read(path)?.into();
        let id = self.sources.add(Source {
            name: path.display().to_string(),
            text: text.clone(),
            is_stdlib: false,
            expanded_from: None,
        });
        let items = parser::parse_header(id, &text, self.diags);
        Ok(self.includes(items, path.parent().unwrap_or(Path::new(""))))
    }

    fn file(&mut self, path: &Path, import: &Import) {
        if !self.seen.insert(path.to_path_buf()) {
            return;
        }
        let shown = path.display();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
        if name.ends_with(".bpf.c") || name.ends_with(".bpf.o") {
            self.diags.push(
                Diagnostic::error(
                    "unsupported-import",
                    format!(
                        "cannot import `{}`: C sources are not supported",
                        import.path
                    ),
                )
                .at(import.span, "")
                .help("write the function as a macro in a .bt file"),
            );
            return;
        }
        let directory = path.parent().unwrap_or(Path::new(""));
        if self.files.is_world_writable(directory) {
            self.diags.push(
                Diagnostic::error(
                    "import",
                    format!("cannot import `{shown}`: anybody may write to its directory"),
                )
                .at(import.span, "")
                .help("move the file, or take the permission to write away from others"),
            );
            return;
        }
        let text = match self.files.read(path) {
            Ok(text) => text,
            Err(e) => {
                self.diags.push(
                    Diagnostic::error("import", format!("cannot import `{shown}`: {e}"))
                        .at(import.span, "")
                        .note("the path is relative to the script that imports it"),
                );
                return;
            }
        };
        let text: Arc<str> = text.into();
        let source = Source {
            name: shown.to_string(),
            text: text.clone(),
            is_stdlib: false,
            expanded_from: None,
        };
        let id = self.sources.add(source);
        if name.ends_with(".h") {
            let items = parser::parse_header(id, &text, self.diags);
            let items = self.includes(items, directory);
            self.merged.c_items.extend(items);
            return;
        }
        let mut script = parser::parse(id, &text, self.diags);
        if let Some(config) = &script.config {
            self.diags.push(
                Diagnostic::error("import", "an imported script cannot contain a config block")
                    .at(config.span, "")
                    .help("move it to the script that is run"),
            );
        }
        self.imports(&script.imports, directory);
        script.c_items = self.includes(script.c_items, directory);
        merge(&mut self.merged, script);
    }
}
