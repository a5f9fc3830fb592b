//! The file with every option, its help and its default.

use crate::config::options::FileOption;
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
    match defaults.is_empty() && !option.is_list() {
        true => vec![option.value_name().to_owned()],
        false => defaults,
    }
}
