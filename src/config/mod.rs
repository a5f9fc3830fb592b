//! The configuration of a process: defaults, then a file, then the environment, then the command
//! line.
//!
//! ```text
//!   cli (clap's options) ─▶ options ─┬─▶ file: keys and values, each checked by its option
//!                                    │        │
//!            arguments, environment ─┴────────┴─▶ resolve ─▶ Settings ─▶ serve, check, dump, load
//!                                                               ├──────▶ command: check, show
//!            the same again, on demand ─▶ resolve ─▶ LoadedOptions ────┴──────▶ reload
//! ```
//!
//! There is one table of options, the command line's. Keys of the file, names of variables, the
//! template and the reference are made from it, and what stands in a file is read by the option's
//! own parser: an option that is added there is a key here.
//!
//! | file | what it is |
//! |---|---|
//! | `options` | the options that a file may set, and their names |
//! | `taken` | whether another value is taken by a reload, or at the next start |
//! | `problem` | what is wrong, with file and line |
//! | `file` | a file, read and checked |
//! | `resolve` | all layers together |
//! | `called` | options in what is told of them: called as they were given |
//! | `written` | values as a file has them |
//! | `command` | `vestibule config check`, `show` and `default` |
//! | `template` | the file with every option and its help |
//! | `reference` | the same as a chapter of the documentation |

mod called;
mod command;
mod file;
mod options;
mod problem;
mod reference;
mod resolve;
mod taken;
mod template;
mod written;

pub(crate) use command::run;
pub(crate) use problem::Problem;
pub(crate) use resolve::{
    LoadedOptions, OptionRow, Settings, changed, of_process, of_process_again,
};
