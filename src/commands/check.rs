//! `vestibule check`: every file and every row, read as a start would read them.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::directory::require_data;
use super::error::ToolError;
use crate::cli::data::{CheckArgs, EXIT_UNCHECKED};
use crate::meter::{Meter, Waiting};
use vestibule_engine::journal::{MARK, STAGING};
use vestibule_engine::offline::{Contents, FileFound, Findings, is_data};
use vestibule_wire::Uuid;

/// Checks a directory and prints what was found.
///
/// # Errors
///
/// The report cannot be written. What keeps the directory from being read is told like damage, with
/// another exit code.
pub(crate) fn check(args: &CheckArgs) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match examine(&args.data, &mut out) {
        Ok(0) => Ok(ExitCode::SUCCESS),
        Ok(_) => Ok(ExitCode::FAILURE),
        Err(Failure::Output(error)) => Err(error),
        Err(Failure::Tool(error)) => {
            out.flush()?;
            eprintln!("vestibule: {error}");
            Ok(ExitCode::from(EXIT_UNCHECKED))
        }
    }
}

/// What cannot be read or written.
#[derive(Debug)]
pub(super) enum Failure {
    /// The directory.
    Tool(ToolError),
    /// The report.
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Writes the report and returns the number of damages.
pub(super) fn examine(data: &Path, out: &mut dyn Write) -> Result<usize, Failure> {
    require_data(data).map_err(Failure::Tool)?;
    let mut damages = Vec::new();
    let mut files = Vec::new();
    let mut meter = Meter::start("checking", "bytes");
    let mut findings = Findings {
        is_thorough: true,
        on_damage: &mut |damage| {
            damages.push(damage.to_string());
            true
        },
        on_file: &mut |file| files.push(file),
        progress: &mut |progress| meter.show(progress),
    };
    let read = Contents::read(data, &mut findings);
    drop(meter);
    for file in &files {
        writeln!(out, "{}", ReportLine(file))?;
    }
    let mut contents = read.map_err(|fault| Failure::Tool(ToolError::Data(fault)))?;
    other_files(data, out, &mut damages)?;
    let mut meter = Meter::start("checking indexes", "rows");
    contents.check_unique(&mut |damage| damages.push(damage), &mut |progress| {
        meter.show(progress)
    });
    drop(meter);
    let waiting = Waiting::start("checking references");
    contents.check_references(&mut |damage| damages.push(damage));
    drop(waiting);
    for (id, name, rows) in contents.spaces() {
        writeln!(out, "space {id} '{name}': {rows} rows")?;
    }
    writeln!(out, "last sequence number: {}", contents.last_sequence)?;
    for damage in &damages {
        writeln!(out, "damage: {damage}")?;
    }
    match damages.len() {
        0 => writeln!(out, "sound")?,
        count => writeln!(out, "damaged: {count} found")?,
    }
    Ok(damages.len())
}

/// What stands beside the journal.
fn other_files(data: &Path, out: &mut dyn Write, damages: &mut Vec<String>) -> io::Result<()> {
    let path = data.join("instance-uuid");
    match fs::read_to_string(&path) {
        Ok(text) if text.trim().parse::<Uuid>().is_ok() => {
            writeln!(out, "{}: {}", path.display(), text.trim())?;
        }
        Ok(_) => damages.push(format!("{} is not a UUID", path.display())),
        // The first start makes it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => damages.push(format!("cannot read {}: {error}", path.display())),
    }
    let mut names: Vec<_> = fs::read_dir(data)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<_>>()?;
    names.sort_unstable();
    for name in names.iter().map(|name| name.to_string_lossy()) {
        let what = match &*name {
            "lock" | "instance-uuid" | MARK => continue,
            STAGING => "left by a load that did not end, counts for nothing",
            _ if is_data(&name) => continue,
            _ => "no part of the data",
        };
        writeln!(out, "{}: {what}", data.join(&*name).display())?;
    }
    Ok(())
}

/// A file's line in the report.
struct ReportLine<'a>(&'a FileFound);

impl fmt::Display for ReportLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = match self.0 {
            FileFound::Journal(file) => file,
            FileFound::Checkpoint { path, rows, from } => {
                let path = path.display();
                return write!(f, "{path}: {rows} rows, gone on from with record {from}");
            }
        };
        write!(f, "{}: {} bytes, ", file.path.display(), file.size)?;
        match file.records {
            0 => f.write_str("no record")?,
            count => write!(f, "{count} records up to {}", file.next - 1)?,
        }
        if file.good < file.size {
            let torn = file.size - file.good;
            write!(
                f,
                ", a torn tail of {torn} bytes from offset {} on",
                file.good
            )?;
        }
        Ok(())
    }
}
