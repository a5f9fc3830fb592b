//! `vestibule load`: JSON lines into a directory, all of them or none.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::process::ExitCode;

use serde::Deserialize;
use vestibule_actors::engine::Progress;
use vestibule_wire::Error;
use vestibule_wire::msgpack::{Kind, Reader};
use vestibule_wire::request::IdOrName;

use super::directory::refuse_tarantools;
use super::error::ToolError;
use crate::cli::data::LoadArgs;
use crate::json::{DUMP_VERSION, Packed};
use crate::meter::{Meter, Waiting};
use vestibule_engine::offline::{Converted, Import, Put, TarantoolData, is_tarantool};
use vestibule_engine::{EngineOptions, JournalSync};

/// Most bytes of JSON that a byte of a tuple may need.
const GROWTH_MAX: usize = 16;

/// Bytes of a line beside its tuple.
const LINE_FRAME_MAX: usize = 256 << 10;

/// Lines between two looks at the meter.
const METER_STEP: u64 = 1000;

/// Loads a dump.
///
/// # Errors
///
/// The directory or the input cannot be read, a line cannot be loaded, or the disk refuses: nothing
/// is loaded then.
pub(crate) fn load(args: &LoadArgs) -> Result<ExitCode, ToolError> {
    if args.input.iter().any(|path| is_tarantool(path)) {
        return load_tarantool(args);
    }
    let (name, size, input): (_, _, Box<dyn BufRead>) = match args.input.first() {
        _ if args.input.len() > 1 => return Err(ToolError::Inputs),
        None => ("standard input".to_owned(), 0, Box::new(io::stdin().lock())),
        Some(path) => {
            let name = path.display().to_string();
            let open = || {
                let file = File::open(path)?;
                Ok((file.metadata()?.len(), file))
            };
            let (size, file) = open().map_err(|error| fault("open", &name, error))?;
            (
                name,
                size,
                Box::new(BufReader::with_capacity(1 << 18, file)),
            )
        }
    };
    let import = begin(args)?;
    let lines = Lines {
        input,
        name,
        size,
        size_max: line_size_max(args.tuple_size_max.in_memory()),
        line: 0,
        done: 0,
    };
    let loaded = lines.load_into(import)?;
    let Loaded { written, same } = loaded;
    eprintln!("{written} rows loaded, {same} were there already");
    Ok(ExitCode::SUCCESS)
}

fn begin(args: &LoadArgs) -> Result<Import, ToolError> {
    refuse_tarantools(&args.data)?;
    let options = EngineOptions::new(&args.data)
        // Synced once, before what was loaded takes its place.
        .journal_sync(JournalSync::Never)
        .tuple_size_max(args.tuple_size_max.in_memory());
    let mut meter = Meter::start("opening", "bytes");
    let import = Import::begin(options, args.replace, &mut |progress| meter.show(progress));
    import.map_err(ToolError::Data)
}

/// Loads Tarantool's files.
fn load_tarantool(args: &LoadArgs) -> Result<ExitCode, ToolError> {
    let mut meter = Meter::start("reading", "bytes");
    let data = TarantoolData::read(&args.input, &mut |progress| meter.show(progress));
    let data = data.map_err(|error| ToolError::Data(error.into()))?;
    drop(meter);
    for file in &data.files {
        log::info!("read {}", file.display());
    }
    for left_out in &data.left_out {
        log::warn!("{left_out}: left out");
    }
    let import = begin(args)?;
    let mut meter = Meter::start("loading", "rows");
    let loaded = data.load_into(import, &mut |progress| meter.show(progress));
    drop(meter);
    let Converted { written, same } = loaded.map_err(ToolError::Data)?;
    eprintln!("{written} rows loaded, {same} were there already");
    Ok(ExitCode::SUCCESS)
}

/// Longest line that a tuple may need, in bytes.
pub(super) fn line_size_max(tuple_size_max: usize) -> usize {
    let tuple = tuple_size_max.saturating_mul(GROWTH_MAX);
    tuple.saturating_add(LINE_FRAME_MAX)
}

fn fault(action: &'static str, name: &str, source: io::Error) -> ToolError {
    let name = name.to_owned();
    ToolError::Io {
        action,
        name,
        source,
    }
}

/// What a load did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Loaded {
    pub(super) written: u64,
    pub(super) same: u64,
}

/// The lines of an input.
pub(super) struct Lines<I> {
    pub(super) input: I,
    /// What errors call it.
    pub(super) name: String,
    /// In bytes; 0 if that is not known.
    pub(super) size: u64,
    /// Longest line, in bytes.
    pub(super) size_max: usize,
    /// Number of the line at hand, and bytes up to its end.
    pub(super) line: u64,
    pub(super) done: u64,
}

/// A line: its head, a row, or its end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DumpLine<'a> {
    vestibule_dump: Option<u32>,
    #[serde(borrow)]
    space: Option<Space<'a>>,
    tuple: Option<Packed>,
    /// A row that every directory is born with, and this one has not.
    deleted: Option<Packed>,
    rows: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Space<'a> {
    Number(u32),
    #[serde(borrow)]
    Name(std::borrow::Cow<'a, str>),
}

/// What the lines so far said about the whole.
#[derive(Debug, Default)]
struct Frame {
    has_head: bool,
    has_end: bool,
    rows: u64,
}

impl<I: BufRead> Lines<I> {
    /// Loads every line, or none.
    pub(super) fn load_into(mut self, mut import: Import) -> Result<Loaded, ToolError> {
        match self.put_all(&mut import) {
            Ok(loaded) => {
                let _waiting = Waiting::start("checking what was loaded, and taking it over");
                import.finish().map_err(ToolError::Data)?;
                Ok(loaded)
            }
            Err(error) => {
                if let Err(left) = import.abandon() {
                    log::warn!("{left}");
                }
                Err(error)
            }
        }
    }

    fn put_all(&mut self, import: &mut Import) -> Result<Loaded, ToolError> {
        let mut meter = Meter::start("loading", "bytes");
        let mut loaded = Loaded::default();
        let mut frame = Frame::default();
        let mut bytes = Vec::new();
        while self.next_line(&mut bytes)? {
            let put = parse(&bytes).and_then(|line| put(import, &mut frame, line));
            match put.map_err(|reason| self.refused(reason))? {
                Some(Put::Written) => loaded.written += 1,
                Some(Put::Same) => loaded.same += 1,
                None => {}
            }
            if self.line.is_multiple_of(METER_STEP) {
                meter.show(Progress::of(self.done, self.size));
            }
        }
        if !frame.has_head && frame.rows == 0 {
            let input = self.name.clone();
            return Err(ToolError::Empty { input });
        }
        if frame.has_head && !frame.has_end {
            let reason = "the dump is cut short, its last line is missing";
            return Err(self.refused(reason.to_owned()));
        }
        Ok(loaded)
    }

    fn refused(&self, reason: String) -> ToolError {
        ToolError::Line {
            input: self.name.clone(),
            line: self.line,
            reason,
        }
    }

    /// Reads a line that is not empty; `false` at the end.
    fn next_line(&mut self, bytes: &mut Vec<u8>) -> Result<bool, ToolError> {
        loop {
            bytes.clear();
            let bound = (self.size_max as u64).saturating_add(1);
            let read = (&mut self.input).take(bound).read_until(b'\n', bytes);
            let read = read.map_err(|error| fault("read", &self.name, error))?;
            if read == 0 {
                return Ok(false);
            }
            self.line += 1;
            self.done += read as u64;
            if bytes.len() > self.size_max {
                let bound = self.size_max;
                let reason = format!("longer than {bound} bytes: see --tuple-size-max");
                return Err(self.refused(reason));
            }
            if !bytes.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Result<DumpLine<'_>, String> {
    let bytes = bytes.trim_ascii();
    // An array would pass for the fields of a line in their order.
    if bytes.starts_with(b"[") {
        return Err("an array, where an object should be".to_owned());
    }
    serde_json::from_slice(bytes).map_err(|error| {
        // Its own line number is always 1.
        let text = error.to_string();
        text.replace(" at line 1 column ", " at column ")
    })
}

/// Takes one line; `None` if it is not a row.
fn put(import: &mut Import, frame: &mut Frame, line: DumpLine<'_>) -> Result<Option<Put>, String> {
    if frame.has_end {
        return Err("goes on after its last line".to_owned());
    }
    match line {
        DumpLine {
            vestibule_dump: Some(version),
            space: None,
            tuple: None,
            deleted: None,
            rows: None,
        } => {
            if version > DUMP_VERSION {
                let text = format!("format version {version}, newer than this program knows");
                return Err(text);
            }
            if frame.has_head || frame.rows > 0 {
                return Err("a first line that is not the first".to_owned());
            }
            frame.has_head = true;
            import.expect_dump();
            Ok(None)
        }
        DumpLine {
            vestibule_dump: None,
            space: None,
            tuple: None,
            deleted: None,
            rows: Some(rows),
        } => {
            if rows != frame.rows {
                let found = frame.rows;
                return Err(format!("{rows} rows should be above, not {found}"));
            }
            frame.has_end = true;
            Ok(None)
        }
        DumpLine {
            vestibule_dump: None,
            space: Some(space),
            tuple: Some(tuple),
            deleted: None,
            rows: None,
        } => {
            frame.rows += 1;
            put_row(&space, &tuple.0, |space, tuple| import.put(space, tuple)).map(Some)
        }
        DumpLine {
            vestibule_dump: None,
            space: Some(space),
            tuple: None,
            deleted: Some(tuple),
            rows: None,
        } => {
            frame.rows += 1;
            put_row(&space, &tuple.0, |space, tuple| import.delete(space, tuple)).map(Some)
        }
        _ => Err("neither a row, {\"space\": …, \"tuple\": […]}, nor a first or last line".into()),
    }
}

fn put_row(
    space: &Space<'_>,
    tuple: &[u8],
    put: impl FnOnce(IdOrName<'_>, &[u8]) -> Result<Put, Error>,
) -> Result<Put, String> {
    let mut reader = Reader::new(tuple);
    if reader.peek() != Ok(Kind::Array) {
        return Err("the tuple is not an array".to_owned());
    }
    reader
        .skip()
        .map_err(|error| format!("the tuple: {error}"))?;
    let space = match space {
        Space::Number(number) => IdOrName::Id(*number),
        Space::Name(name) => IdOrName::Name(name),
    };
    put(space, tuple).map_err(|error| error.message().to_owned())
}
