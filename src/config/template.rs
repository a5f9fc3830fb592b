//! The file with every option, its help and its default.

use vestibule_actors::limits::UPSTREAM_CALLS_DEFAULT;

use crate::config::options::{FileOption, Kind};
use crate::config::written::{by_table, comment, line};

/// What stands at the beginning.
const HEAD: &str = "\
The options of vestibule, each with its default, as `vestibule config default` writes them: a \
line counts once the # before it is taken away.

Only a file that is named is read, by `--config FILE` or VESTIBULE_CONFIG. What is set in the \
environment goes before what stands here, and an option of the command line before both. The path \
of a key here, joined by -, is the option (--journal-sync), and joined by _ the variable \
(VESTIBULE_JOURNAL_SYNC).

Sizes are numbers of bytes, or have a unit: \"64KiB\", \"512MiB\", \"4GiB\". Times have one: \
\"500ms\", \"3s\", \"2m\", \"1h\".";

/// The whole file.
pub(super) fn template(options: &[FileOption]) -> String {
    let mut text = comment(HEAD);
    for (table, inside) in by_table(options) {
        if let Some(table) = table {
            text += &format!("\n[{table}]\n");
        }
        let mut heading = "";
        for option in inside {
            if table.is_none() && option.heading() != heading {
                heading = option.heading();
                text += &format!("\n# ---- {heading} ----\n");
            }
            text += "\n";
            text += &described(option);
        }
    }
    text
}

fn described(option: &FileOption) -> String {
    let mut text = comment(&option.help());
    for (name, help) in option.choices() {
        text += &comment(&format!("- \"{name}\": {help}."));
    }
    text + "#" + &line(option, &shown(option)) + "\n"
}

/// The default, or what stands for a value of an option that has none.
fn shown(option: &FileOption) -> Vec<String> {
    let defaults = option.defaults();
    if !defaults.is_empty() || option.is_list() {
        return defaults;
    }
    match option.kind() {
        // No word stands for a number: the line is to be one that is taken.
        Kind::Number => vec![usual(option.key()).to_string()],
        _ => vec![option.value_name().to_owned()],
    }
}

/// Of a number that follows from another one unless it is given: what it is by that one's default.
fn usual(key: &str) -> usize {
    match key {
        "upstream_calls_max" => UPSTREAM_CALLS_DEFAULT,
        _ => 1,
    }
}
