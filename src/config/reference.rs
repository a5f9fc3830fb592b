//! The options as a chapter of the documentation, in Markdown.

use crate::config::options::FileOption;
use crate::config::written::value;

/// Every option with its names, its default and its help, below the headings of `--help`.
pub(super) fn reference(options: &[FileOption]) -> String {
    let mut text = String::new();
    let mut heading = "";
    for option in options {
        if option.heading() != heading {
            heading = option.heading();
            text += &format!("### {heading}\n\n");
        }
        text += &described(option);
    }
    text
}

fn described(option: &FileOption) -> String {
    let defaults = option.defaults();
    let default = match defaults.is_empty() {
        true => "none".to_owned(),
        false => format!("`{}`", value(option, &defaults)),
    };
    let mut text = format!(
        "**`{}`**: `{} {}`, `{}`; default: {default}; {}\n\n{}\n\n",
        option.path(),
        option.flag(),
        option.value_name(),
        option.variable(),
        option.taken(),
        option.help(),
    );
    let choices = option.choices();
    for (name, help) in &choices {
        text += &format!("- `{name}`: {help}\n");
    }
    if !choices.is_empty() {
        text += "\n";
    }
    text
}
