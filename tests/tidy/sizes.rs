//! Bounds on the lines of a file, on those of a function, and on the columns of a line.

use syn::visit::Visit;

use crate::source::Source;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;

pub(crate) fn too_long(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        findings.push(format!("{}: {lines} lines", source.path));
    }
    for (number, line) in source.text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX {
            findings.push(format!("{}:{}: {columns} columns", source.path, number + 1));
        }
    }
    let mut functions = Functions::default();
    functions.visit_file(source.syntax());
    for (name, line, lines) in functions.long {
        findings.push(format!("{}:{line}: fn {name}, {lines} lines", source.path));
    }
    findings
}

#[derive(Default)]
struct Functions {
    /// Name, line, number of lines.
    long: Vec<(String, usize, usize)>,
}

impl Functions {
    fn look(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let begin = signature.fn_token.span.start().line;
        let lines = block.brace_token.span.close().end().line + 1 - begin;
        if lines > FUNCTION_LINES_MAX {
            self.long.push((signature.ident.to_string(), begin, lines));
        }
    }
}

impl<'a> Visit<'a> for Functions {
    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.look(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.look(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.look(&item.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_is_held() {
        let body = "    f();\n".repeat(69);
        let short = format!("fn f() {{\n{}}}\n", &body[9..]);
        assert_eq!(too_long(&Source::new("a.rs", &short)), [""; 0]);
        let long = format!("struct S;\nimpl S {{\nfn f() {{\n{body}}}\n}}\n");
        assert_eq!(
            too_long(&Source::new("a.rs", &long)),
            ["a.rs:3: fn f, 71 lines"]
        );
        let wide = format!("// {}\n", "é".repeat(98));
        assert_eq!(
            too_long(&Source::new("a.rs", &wide)),
            ["a.rs:1: 101 columns"]
        );
        let tall = "// x\n".repeat(501);
        assert_eq!(too_long(&Source::new("a.rs", &tall)), ["a.rs: 501 lines"]);
    }
}
