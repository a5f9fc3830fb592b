//! The tree of modules of a package: which file has which module, and what each file defines.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use syn::visit::Visit;
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree, Visibility};

use crate::source::{Package, Source};

/// A path of modules below the root of the package.
pub(crate) type ModulePath = Vec<String>;

/// One module: a file, or a block in a file.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Index of its file among the sources of the package.
    pub(crate) file: usize,
    /// Compiled for tests alone.
    pub(crate) is_test: bool,
    /// Types, functions, constants, macros that are defined here.
    pub(crate) items: BTreeSet<String>,
    /// Types and traits among them.
    pub(crate) types: BTreeSet<String>,
    /// Names that `use` brings in, public or not, with the path that they stand for.
    pub(crate) uses: HashMap<String, Vec<String>>,
    /// Modules whose every name is brought in.
    pub(crate) globs: Vec<Vec<String>>,
    /// What it refers to, but for what it hands on and for its tests.
    pub(crate) paths: Vec<Vec<String>>,
    /// What single items of it that are compiled for tests refer to.
    pub(crate) test_paths: Vec<Vec<String>>,
}

impl Module {
    fn import(&mut self, item: &ItemUse) {
        let mut own = Module::default();
        bring_in(&item.tree, &mut Vec::new(), &mut own);
        let all = own.uses.values().chain(&own.globs).cloned();
        if is_for_tests(&item.attrs) {
            self.test_paths.extend(all);
            return;
        }
        // What is handed on is counted where it is used.
        if matches!(item.vis, Visibility::Inherited) {
            self.paths.extend(all);
        }
        self.uses.extend(own.uses);
        self.globs.extend(own.globs);
    }

    fn define(&mut self, item: &Item) {
        self.items.extend(name_of(item));
        if matches!(
            item,
            Item::Enum(_) | Item::Struct(_) | Item::Trait(_) | Item::Type(_)
        ) {
            self.types.extend(name_of(item));
        }
        let mut paths = Paths::default();
        paths.visit_item(item);
        let of_tests = attributes(item).is_some_and(is_for_tests);
        let to = if of_tests {
            &mut self.test_paths
        } else {
            &mut self.paths
        };
        to.extend(paths.found);
    }
}

pub(crate) type Modules = BTreeMap<ModulePath, Module>;

/// The modules of a package by their paths.
pub(crate) fn of(package: &Package) -> Modules {
    let mut modules = Modules::new();
    let mut walk = Walk {
        package,
        modules: &mut modules,
    };
    let root = ["lib.rs", "main.rs"]
        .into_iter()
        .find(|root| package.source(root).is_some());
    walk.file(root.unwrap_or_default(), &Vec::new(), false);
    modules
}

struct Walk<'a> {
    package: &'a Package,
    modules: &'a mut Modules,
}

impl Walk<'_> {
    fn file(&mut self, path: &str, module: &ModulePath, is_test: bool) {
        let whole = format!("{}/{path}", self.package.folder);
        let found = self
            .package
            .sources
            .iter()
            .position(|source| source.path == whole);
        let Some(file) = found else { return };
        self.items(
            &self.package.sources[file].syntax().items,
            file,
            module,
            is_test,
        );
    }

    fn items(&mut self, items: &[Item], file: usize, path: &ModulePath, is_test: bool) {
        let mut module = Module {
            file,
            is_test,
            ..Module::default()
        };
        for item in items {
            match item {
                Item::Mod(child) => self.child(child, file, path, is_test),
                Item::Use(item) => module.import(item),
                other => module.define(other),
            }
        }
        self.modules.entry(path.clone()).or_insert(module);
    }

    fn child(&mut self, child: &ItemMod, file: usize, path: &ModulePath, is_test: bool) {
        let mut below = path.clone();
        below.push(child.ident.to_string());
        let is_test = is_test || is_for_tests(&child.attrs);
        match &child.content {
            Some((_, items)) => self.items(items, file, &below, is_test),
            None => {
                let name = named_path(&child.attrs);
                for candidate in self.candidates(&below, name.as_deref(), file) {
                    self.file(&candidate, &below, is_test);
                }
            }
        }
    }

    fn candidates(&self, module: &[String], name: Option<&str>, file: usize) -> Vec<String> {
        if let Some(name) = name {
            let own = &self.package.sources[file].path[self.package.folder.len() + 1..];
            let folder = own.rsplit_once('/').map_or("", |(folder, _)| folder);
            return vec![
                format!("{folder}/{name}")
                    .trim_start_matches('/')
                    .to_owned(),
            ];
        }
        let stem = module.join("/");
        vec![format!("{stem}.rs"), format!("{stem}/mod.rs")]
    }
}

fn named_path(attributes: &[Attribute]) -> Option<String> {
    attributes
        .iter()
        .find(|own| own.path().is_ident("path"))
        .and_then(|own| {
            let value = own.meta.require_name_value().ok()?;
            match &value.value {
                syn::Expr::Lit(syn::ExprLit {
                    lit: syn::Lit::Str(name),
                    ..
                }) => Some(name.value()),
                _ => None,
            }
        })
}

/// Whether attributes say `cfg(test)`, alone or with others.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|own| {
        let mut is_test = own.path().is_ident("test");
        if own.path().is_ident("cfg") {
            // Errors are those of conditions of another shape.
            let _ = own.parse_nested_meta(|meta| {
                is_test |= meta.path.is_ident("test");
                Ok(())
            });
        }
        is_test
    })
}

fn bring_in(tree: &UseTree, prefix: &mut Vec<String>, module: &mut Module) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            bring_in(&path.tree, prefix, module);
            prefix.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            let own = prefix.last().cloned().unwrap_or_default();
            module.uses.insert(own, prefix.clone());
        }
        UseTree::Name(name) => {
            let whole = [prefix.as_slice(), &[name.ident.to_string()]].concat();
            module.uses.insert(name.ident.to_string(), whole);
        }
        UseTree::Rename(rename) => {
            let whole = [prefix.as_slice(), &[rename.ident.to_string()]].concat();
            module.uses.insert(rename.rename.to_string(), whole);
        }
        UseTree::Glob(_) => module.globs.push(prefix.clone()),
        UseTree::Group(group) => {
            for item in &group.items {
                bring_in(item, prefix, module);
            }
        }
    }
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(own) => &own.ident,
        Item::Enum(own) => &own.ident,
        Item::Fn(own) => &own.sig.ident,
        Item::Macro(own) => own.ident.as_ref()?,
        Item::Static(own) => &own.ident,
        Item::Struct(own) => &own.ident,
        Item::Trait(own) => &own.ident,
        Item::Type(own) => &own.ident,
        Item::Union(own) => &own.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// Files below the folder of sources that no `mod` leads to.
pub(crate) fn unreachable(package: &Package) -> Vec<String> {
    let modules = of(package);
    let reached: BTreeSet<usize> = modules.values().map(|module| module.file).collect();
    let all = package.sources.iter().enumerate();
    all.filter(|(index, _)| !reached.contains(index))
        .map(|(_, source)| format!("{} is no part of its package", source.path))
        .collect()
}

/// Imports of modules that only tests have, in files that are compiled without them.
pub(crate) fn test_imports(package: &Package) -> Vec<String> {
    let modules = of(package);
    let for_tests: BTreeSet<&String> = modules
        .iter()
        .filter(|(path, module)| module.is_test && path.len() == 1 && !is_shared_name(&path[0]))
        .map(|(path, _)| &path[0])
        .collect();
    let production = modules.values().filter(|module| !module.is_test);
    let mut findings = BTreeSet::new();
    for module in production {
        for path in module.paths.iter().chain(&module.test_paths) {
            if path.len() > 1 && path[0] == "crate" && for_tests.contains(&path[1]) {
                let source = &package.sources[module.file];
                findings.insert(format!("{}: uses {}", source.path, path.join("::")));
            }
        }
    }
    findings.into_iter().collect()
}

/// `tests` is the name of the tests of a module, everywhere.
fn is_shared_name(name: &str) -> bool {
    name == "tests"
}

/// The paths in an item that have more than one segment, imports inside of functions included.
#[derive(Default)]
struct Paths {
    found: Vec<Vec<String>>,
}

impl<'a> Visit<'a> for Paths {
    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.segments.len() > 1 {
            let names = path.segments.iter().map(|own| own.ident.to_string());
            self.found.push(names.collect());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        let mut own = Module::default();
        bring_in(&item.tree, &mut Vec::new(), &mut own);
        self.found.extend(own.uses.into_values().chain(own.globs));
    }
}

fn attributes(item: &Item) -> Option<&[Attribute]> {
    Some(match item {
        Item::Const(own) => &own.attrs,
        Item::Enum(own) => &own.attrs,
        Item::Fn(own) => &own.attrs,
        Item::Impl(own) => &own.attrs,
        Item::Static(own) => &own.attrs,
        Item::Struct(own) => &own.attrs,
        Item::Trait(own) => &own.attrs,
        Item::Type(own) => &own.attrs,
        _ => return None,
    })
}

/// The name of a file below the folder of sources, without what is the same for all.
pub(crate) fn short(package: &Package, source: &Source) -> String {
    source.path[package.folder.len() + 1..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_file_is_found() {
        let files = [("lib.rs", "mod a;"), ("a.rs", ""), ("b.rs", "")];
        assert_eq!(
            unreachable(&Package::of(&files)),
            ["p/src/b.rs is no part of its package"]
        );
    }

    #[test]
    fn production_that_uses_what_tests_have_is_found() {
        let root = "#[cfg(test)] mod simulation; mod clock;";
        let clock = "#[cfg(test)] use crate::simulation::Clock; \
                     #[cfg(test)] mod tests { use crate::simulation::X; }";
        let files = [
            ("lib.rs", root),
            ("clock.rs", clock),
            ("simulation.rs", "use crate::simulation::Y;"),
        ];
        let found = test_imports(&Package::of(&files));
        assert_eq!(found, ["p/src/clock.rs: uses crate::simulation::Clock"]);
    }
}
