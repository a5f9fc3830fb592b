//! A row of Tarantool's files: a request, with who made it and when.

use vestibule_wire::msgpack::{DecodeError, Reader};

/// Flag of the last row of a transaction.
const IS_COMMIT: u64 = 1;

/// What a row does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowAction {
    /// INSERT and REPLACE: nothing that was refused is in a log.
    Put,
    Update,
    Delete,
    Upsert,
    /// Of no effect, and without a body.
    Nop,
    /// Of no effect on data: what an election or a confirmation leaves.
    Nothing,
    /// Takes back a synchronous transaction.
    Rollback,
    /// Another request.
    Other(u64),
}

/// A row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) action: RowAction,
    pub(super) instance: u32,
    pub(super) lsn: u64,
    /// Whether the transaction ends with it.
    pub(super) is_commit: bool,
    pub(super) space: u32,
    pub(super) index: u64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) tuple: Option<&'a [u8]>,
    pub(super) ops: Option<&'a [u8]>,
    pub(super) index_base: u64,
}

impl<'a> Row<'a> {
    /// Reads one row off the front.
    ///
    /// # Errors
    ///
    /// Bytes that are no row.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut row = Row {
            action: RowAction::Nothing,
            instance: 0,
            lsn: 0,
            is_commit: true,
            space: 0,
            index: 0,
            key: None,
            tuple: None,
            ops: None,
            index_base: 0,
        };
        let (mut is_flagged, mut is_in_transaction) = (false, false);
        for _ in 0..reader.read_map_len()? {
            match reader.read_uint()? {
                0x00 => row.action = RowAction::of(reader.read_uint()?),
                0x02 => row.instance = narrow(reader.read_uint()?),
                0x03 => row.lsn = reader.read_uint()?,
                0x08 => {
                    is_in_transaction = true;
                    reader.skip()?;
                }
                0x09 => is_flagged = reader.read_uint()? & IS_COMMIT != 0,
                _ => drop(reader.skip()?),
            }
        }
        row.is_commit = !is_in_transaction || is_flagged;
        let has_body = !reader.is_empty() && row.action != RowAction::Nop;
        if has_body
            && matches!(
                row.action,
                RowAction::Nothing | RowAction::Rollback | RowAction::Other(_)
            )
        {
            reader.skip()?;
        } else if has_body {
            row.read_body(reader)?;
        }
        Ok(row)
    }

    fn read_body(&mut self, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        let row = self;
        for _ in 0..reader.read_map_len()? {
            match reader.read_uint()? {
                0x10 => row.space = narrow(reader.read_uint()?),
                0x11 => row.index = reader.read_uint()?,
                0x15 => row.index_base = reader.read_uint()?,
                0x20 => row.key = Some(reader.skip()?),
                0x21 => row.tuple = Some(reader.skip()?),
                0x28 => row.ops = Some(reader.skip()?),
                _ => drop(reader.skip()?),
            }
        }
        Ok(())
    }
}

impl RowAction {
    fn of(kind: u64) -> Self {
        match kind {
            2 | 3 => Self::Put,
            4 => Self::Update,
            5 => Self::Delete,
            9 => Self::Upsert,
            12 => Self::Nop,
            // RAFT, PROMOTE, DEMOTE and CONFIRM.
            30..=32 | 40 => Self::Nothing,
            41 => Self::Rollback,
            other => Self::Other(other),
        }
    }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
