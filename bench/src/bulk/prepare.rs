//! The space of bulk transfers, its rows, and what connections are told to do with them.

use std::time::Duration;

use bytes::Bytes;
use vestibule_wire::client::RequestHeader;
use vestibule_wire::features::Feature;
use vestibule_wire::groups::Group;
use vestibule_wire::msgpack::{write_array_len, write_str_bytes, write_uint};
use vestibule_wire::request::{After, Body, Id, IdOrName, IteratorType, Select, Store};

use super::frame::Frame;
use super::link::{BesideOrders, Orders, Small};
use crate::args::{BenchArgs, Beside, Direction};
use crate::client::BlockingClient;
use crate::error::BenchError;
use crate::{requests, space};

/// Largest value of a row: what fits into a tuple by the defaults of every server, with room for
/// the rest of the row.
const ROW_VALUE_MAX: usize = 1_000_000;
/// Bytes of a row beside its value, in a reply: array, key, head of the string.
const ROW_HEAD_SIZE: usize = 11;
/// The key of the row that is small, and the one of a row that is not there.
const SMALL_KEY: u32 = u32::MAX;
const MISSING_KEY: u32 = u32::MAX - 1;

/// What is transferred, and how.
pub(super) struct BulkPlan {
    pub(super) size: u32,
    pub(super) direction: Direction,
    pub(super) groups: u32,
    depth: u32,
    /// What is sent beside, and how often.
    pub(super) beside: Option<(Beside, Duration)>,
    space: u32,
    /// How many rows make up a reply.
    rows: u32,
    value: Bytes,
}

impl BulkPlan {
    /// Makes the space and the rows that are going to be asked for.
    pub(super) fn prepare(
        client: &mut BlockingClient,
        args: &BenchArgs,
    ) -> Result<Self, BenchError> {
        let size = args.size.unwrap_or(super::SIZE_DEFAULT);
        let direction = args.direction.unwrap_or(Direction::Down);
        let every = args.beside_every.unwrap_or(super::BESIDE_EVERY_DEFAULT);
        let space = space::find_or_create_temporary(client, &format!("{}_bulk", args.space))?;
        let sizes = if direction == Direction::Up {
            Vec::new()
        } else {
            row_sizes(size as usize)
        };
        for (key, value) in sizes.iter().enumerate() {
            store(client, space, key as u32, *value)?;
        }
        store(client, space, SMALL_KEY, 8)?;
        let value = if direction == Direction::Down {
            Vec::new()
        } else {
            vec![b'v'; size as usize]
        };
        Ok(Self {
            size,
            direction,
            groups: args.groups.unwrap_or(1),
            depth: args.depth,
            beside: args.beside.map(|beside| (beside, every)),
            space,
            rows: sizes.len() as u32,
            value: value.into(),
        })
    }

    /// What a connection to a server with these features does.
    pub(super) fn orders(&self, id: &Id) -> Orders {
        let has_streams = id.features.has(Feature::Streams);
        let stream_id = |stream: u32| if has_streams { stream.into() } else { 0 };
        let (is_down, is_up) = match self.direction {
            Direction::Down => (true, false),
            Direction::Up => (false, true),
            Direction::Both => (true, true),
        };
        let mut transfers: Vec<(Group, Frame)> = Vec::new();
        let header = |stream, number: usize| RequestHeader {
            sync: number as u64,
            stream_id: stream_id(stream),
            schema_version: 0,
        };
        for group in 1..=self.groups {
            for _ in 0..self.depth {
                if is_down {
                    let frame = self.download(header(group, transfers.len()));
                    transfers.push((lane(group), frame));
                }
                if is_up {
                    let stream = self.groups + group;
                    let header = header(stream, transfers.len());
                    let frame = Frame::update(header, self.space, MISSING_KEY, &self.value);
                    transfers.push((lane(stream), frame));
                }
            }
        }
        let own = 2 * self.groups + 1;
        let beside = self.beside.map(|(beside, every)| BesideOrders {
            group: match beside {
                Beside::Ping => Group::Control,
                Beside::Select | Beside::Replace => lane(own),
            },
            request: self.small(beside, stream_id(own)),
            every,
        });
        let chunks = id.chunks;
        Orders {
            transfers,
            beside,
            chunks,
        }
    }

    fn download(&self, header: RequestHeader) -> Frame {
        let body = Body::Select(Select {
            space: IdOrName::Id(self.space),
            index: IdOrName::Id(0),
            limit: self.rows.into(),
            offset: 0,
            iterator: IteratorType::All as u64,
            key: &[0x90],
            fetch_position: false,
            after: After::Start,
        });
        Frame::small(header, &body)
    }

    fn small(&self, beside: Beside, stream_id: u64) -> Small {
        let mut key = Vec::new();
        write_array_len(&mut key, 1);
        write_uint(&mut key, SMALL_KEY.into());
        let row = row(SMALL_KEY, 8);
        let body = match beside {
            Beside::Ping => Body::Ping,
            Beside::Select => requests::select(self.space, 0, &key),
            Beside::Replace => Body::Replace(Store {
                space: IdOrName::Id(self.space),
                tuple: &row,
            }),
        };
        let mut bytes = Vec::new();
        body.write(&mut bytes);
        Small {
            stream_id: if beside == Beside::Ping { 0 } else { stream_id },
            request_type: body.request_type() as u64,
            body: bytes.into(),
        }
    }
}

/// The group that a request waits in here; the server knows it as a stream, if it has streams.
fn lane(number: u32) -> Group {
    Group::stream(number.into()).unwrap_or(Group::Read)
}

/// The values of the rows that make up a reply of about this size.
fn row_sizes(size: usize) -> Vec<usize> {
    let count = size.div_ceil(ROW_VALUE_MAX + ROW_HEAD_SIZE).max(1);
    let values = size.saturating_sub(count * ROW_HEAD_SIZE);
    (0..count)
        .map(|at| values / count + usize::from(at < values % count))
        .collect()
}

fn row(key: u32, size: usize) -> Vec<u8> {
    let mut row = Vec::new();
    write_array_len(&mut row, 2);
    row.push(0xce);
    row.extend_from_slice(&key.to_be_bytes());
    write_str_bytes(&mut row, &vec![b'v'; size]);
    row
}

fn store(client: &mut BlockingClient, space: u32, key: u32, size: usize) -> Result<(), BenchError> {
    let body = Body::Replace(Store {
        space: IdOrName::Id(space),
        tuple: &row(key, size),
    });
    client
        .request(&body, "storing what is to be transferred")
        .map(drop)
        .map_err(space::explain)
}

/// Removes the space: it is of no use to anybody else.
pub(super) fn clear(client: &mut BlockingClient, args: &BenchArgs) {
    let function = format!("box.space.{}_bulk:drop", args.space);
    if let Err(error) = client.request(&requests::call(&function, &[0x90]), "dropping the space") {
        log::warn!("{error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_reply_have_the_size_that_was_asked_for() {
        for size in [
            1, 11, 12, 1000, 1_000_000, 1_000_011, 1_000_012, 16_000_000, 48_000_001,
        ] {
            let sizes = row_sizes(size);
            let bytes = sizes
                .iter()
                .map(|value| value + ROW_HEAD_SIZE)
                .sum::<usize>();
            assert_eq!(bytes, size.max(ROW_HEAD_SIZE), "{size}");
            assert!(sizes.iter().all(|value| *value <= ROW_VALUE_MAX), "{size}");
        }
        // The head of a string of more than 64 KiB.
        assert_eq!(row(7, 100_000).len(), 100_000 + ROW_HEAD_SIZE);
    }
}
