//! `vestibule dump`: definitions and rows as JSON lines.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use vestibule_actors::engine::Progress;
use vestibule_wire::msgpack::Reader;

use super::directory::require_data;
use super::error::ToolError;
use crate::cli::data::DumpArgs;
use crate::json::{self, DUMP_VERSION};
use crate::meter::Meter;
use vestibule_engine::internal::private_file;
use vestibule_engine::offline::{Contents, FileFound, Findings};

/// Rows between two looks at the meter.
const METER_STEP: u64 = 1000;

/// Writes the directory's rows.
///
/// # Errors
///
/// The directory cannot be read, or the output not be written.
pub(crate) fn dump(args: &DumpArgs) -> Result<ExitCode, ToolError> {
    require_data(&args.data)?;
    let contents = read(&args.data, args.force_recovery)?;
    let only = args
        .space
        .as_deref()
        .map(|space| find(&contents, space))
        .transpose()?;
    match &args.output {
        None => {
            let out = BufWriter::new(io::stdout().lock());
            write(&contents, only, out).map_err(|error| fault("write", "the output", error))?;
        }
        Some(path) => write_file(&contents, only, path)
            .map_err(|error| fault("write", path.display(), error))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn fault(action: &'static str, name: impl ToString, source: io::Error) -> ToolError {
    let name = name.to_string();
    ToolError::Io {
        action,
        name,
        source,
    }
}

fn read(data: &Path, force: bool) -> Result<Contents, ToolError> {
    let mut meter = Meter::start("reading", "bytes");
    let mut findings = Findings {
        is_thorough: false,
        on_damage: &mut |damage| {
            if force {
                log::error!("left out: {damage}");
            }
            force
        },
        on_file: &mut |file| {
            if let FileFound::Journal(file) = file
                && file.good < file.size
            {
                log::warn!("{}: a torn tail is left out", file.path.display());
            }
        },
        progress: &mut |progress| meter.show(progress),
    };
    Contents::read(data, &mut findings).map_err(ToolError::Data)
}

/// A space by name, or else by number.
fn find(contents: &Contents, space: &str) -> Result<u32, ToolError> {
    let spaces = contents.spaces();
    let by_name = spaces.iter().find(|(_, name, _)| *name == space);
    let by_number = || spaces.iter().find(|(id, ..)| space.parse() == Ok(*id));
    let found = by_name.or_else(by_number).map(|(id, ..)| *id);
    found.ok_or_else(|| ToolError::NoSuchSpace {
        space: space.to_owned(),
    })
}

/// Writes a file that takes its name once it is whole.
fn write_file(contents: &Contents, only: Option<u32>, path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = Path::new(&name);
    let file = private_file(part)?;
    let written = write(contents, only, BufWriter::new(&file)).and_then(|_| file.sync_all());
    match written {
        Ok(()) => fs::rename(part, path),
        Err(error) => {
            // What went wrong first is what is told.
            let _ = fs::remove_file(part);
            Err(error)
        }
    }
}

/// Writes all lines and returns how many of them are rows.
pub(super) fn write(
    contents: &Contents,
    only: Option<u32>,
    mut out: impl Write,
) -> io::Result<u64> {
    let deleted = if only.is_none() {
        contents.deleted()
    } else {
        Vec::new()
    };
    let definitions = contents.definitions(only);
    let spaces = contents.spaces();
    let wanted = spaces
        .iter()
        .filter(|(id, ..)| only.is_none_or(|only| only == *id));
    let rows = wanted.clone().map(|(_, _, rows)| rows).sum::<u64>();
    let total = (deleted.len() + definitions.len()) as u64 + rows;
    let data = wanted.flat_map(|(id, name, _)| contents.rows(*id).map(|row| (*name, row)));
    let mut meter = Meter::start("writing", "rows");
    let (mut line, mut done) = (Vec::new(), 0u64);
    writeln!(out, "{{\"vestibule_dump\":{DUMP_VERSION}}}")?;
    let deleted = deleted.iter().map(|(space, row)| (&**space, &**row));
    let deleted = deleted.map(|row| ("deleted", row));
    let rows = definitions.into_iter().chain(data);
    for (what, (space, row)) in deleted.chain(rows.map(|row| ("tuple", row))) {
        line.clear();
        line.extend_from_slice(b"{\"space\":");
        json::write_text(&mut line, space);
        write!(line, ",\"{what}\":")?;
        json::write_value(&mut Reader::new(row), &mut line).map_err(io::Error::other)?;
        line.extend_from_slice(b"}\n");
        out.write_all(&line)?;
        done += 1;
        if done.is_multiple_of(METER_STEP) {
            meter.show(Progress::of(done, total));
        }
    }
    writeln!(out, "{{\"rows\":{done}}}")?;
    out.flush()?;
    Ok(done)
}
