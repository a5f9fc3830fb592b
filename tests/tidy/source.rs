//! The sources of the workspace, read once for each test.

use std::cell::OnceCell;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// One `.rs` file.
pub(crate) struct Source {
    /// Relative to the root of the workspace, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
    syntax: OnceCell<syn::File>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            syntax: OnceCell::new(),
        }
    }

    /// The text as Rust, parsed when it is first asked for.
    ///
    /// # Panics
    ///
    /// If the text is not Rust: the file would not compile either.
    pub(crate) fn syntax(&self) -> &syn::File {
        let parse = || {
            let parsed = syn::parse_file(&self.text);
            parsed.unwrap_or_else(|fault| panic!("{}: {fault}", self.path))
        };
        self.syntax.get_or_init(parse)
    }
}

/// A package: a library with `src/lib.rs`, or a program with `src/main.rs`.
pub(crate) struct Package {
    /// As Rust paths write it.
    pub(crate) name: String,
    /// The folder of its sources, relative to the workspace.
    pub(crate) folder: String,
    pub(crate) sources: Vec<Source>,
}

impl Package {
    /// A source by its path below the folder of sources.
    pub(crate) fn source(&self, path: &str) -> Option<&Source> {
        let whole = format!("{}/{path}", self.folder);
        self.sources.iter().find(|source| source.path == whole)
    }

    /// For tests of the rules.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let source = |(path, text): &(&str, &str)| Source::new(&format!("p/src/{path}"), text);
        Self {
            name: "p".to_owned(),
            folder: "p/src".to_owned(),
            sources: files.iter().map(source).collect(),
        }
    }
}

/// The whole tree.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) packages: Vec<Package>,
    /// Tests, examples, benches and fuzz targets.
    pub(crate) others: Vec<Source>,
}

/// Packages by the folder of their manifest, from the ground floor up.
const PACKAGES: [(&str, &str); 7] = [
    ("vestibule_wire", "wire/src"),
    ("vestibule_actors", "actors/src"),
    ("vestibule_engine", "engine/src"),
    ("vestibule_bench", "bench/src"),
    ("vestibule_client", "client/src"),
    ("vestibule_http", "http/src"),
    ("vestibule", "src"),
];

const OTHERS: [&str; 7] = [
    "tests",
    "examples",
    "actors/tests",
    "client/tests",
    "client/examples",
    "http/tests",
    "fuzz",
];

impl Workspace {
    pub(crate) fn read() -> Self {
        // As cargo sets it for the run, so that a built test can look at another tree.
        let root = env::var_os("CARGO_MANIFEST_DIR");
        let root = root.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let package = |(name, folder): (&str, &str)| Package {
            name: name.to_owned(),
            folder: folder.to_owned(),
            sources: sources(&root, folder),
        };
        let packages = PACKAGES.into_iter().map(package).collect();
        let others = OTHERS
            .iter()
            .flat_map(|folder| sources(&root, folder))
            .collect();
        Self {
            packages,
            others,
            root,
        }
    }

    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        let own = self.packages.iter().flat_map(|package| &package.sources);
        own.chain(&self.others)
    }

    pub(crate) fn text(&self, path: &str) -> String {
        let whole = self.root.join(path);
        fs::read_to_string(&whole).unwrap_or_else(|fault| panic!("{path}: {fault}"))
    }
}

fn sources(root: &Path, folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(&root.join(folder), "rs", &mut paths);
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_else(|fault| panic!("{path:?}: {fault}"));
        let below = path.strip_prefix(root).expect("it was found there");
        Source::new(&below.to_string_lossy().replace('\\', "/"), &text)
    };
    paths.iter().map(read).collect()
}

/// Files with this ending, in order. What is built is left out.
pub(crate) fn collect(folder: &Path, ending: &str, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut entries: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            collect(&path, ending, paths);
        } else if path.extension().is_some_and(|own| own == ending) {
            paths.push(path);
        }
    }
}
