//! A turn as the journal keeps it: what became of which key, whatever the requests were.
//!
//! ```text
//!   version │ space │ changes │ size·2     │ tuple
//!     1 B   │ u32   │  u32    │ size·2 + 1 │ key of what is deleted       (all little-endian)
//!           └────── again for every space ──────────────────────┘
//! ```
//!
//! Puts carry the tuple alone: its key follows from the definition of the space, which stands in
//! the same journal.

use crate::store::image::{ReplayError, Replayed};
use crate::store::layer::Layer;

/// The first byte. Changes with this layout and with that of encoded keys.
const VERSION: u8 = 2;

/// Appends what of a turn is durable; returns whether that is anything.
pub(crate) fn encode(turn: &Layer, is_durable: impl Fn(u32) -> bool, out: &mut Vec<u8>) -> bool {
    out.push(VERSION);
    let head = out.len();
    for (space, changes) in turn.spaces().filter(|(space, _)| is_durable(*space)) {
        out.extend_from_slice(&space.to_le_bytes());
        out.extend_from_slice(&(changes.len() as u32).to_le_bytes());
        for (key, change) in changes {
            match change {
                Some(tuple) => {
                    out.extend_from_slice(&((tuple.len() as u32) << 1).to_le_bytes());
                    out.extend_from_slice(tuple);
                }
                None => {
                    let start = out.len();
                    out.extend_from_slice(&[0; 4]);
                    key.write(out);
                    let size = (out.len() - start - 4) as u32;
                    out[start..start + 4].copy_from_slice(&(size << 1 | 1).to_le_bytes());
                }
            }
        }
    }
    out.len() > head
}

/// Reads a turn, change by change.
///
/// # Errors
///
/// [`ReplayError::Record`] for bytes that [`encode`] did not write.
pub(crate) fn decode(mut bytes: &[u8]) -> Result<Vec<(u32, Replayed<'_>)>, ReplayError> {
    let mut turn = Vec::new();
    let version = bytes.split_off_first().ok_or(ReplayError::Record)?;
    if *version != VERSION {
        return Err(ReplayError::Record);
    }
    while !bytes.is_empty() {
        let space = take_u32(&mut bytes)?;
        for _ in 0..take_u32(&mut bytes)? {
            let head = take_u32(&mut bytes)?;
            let body = bytes
                .split_off(..(head >> 1) as usize)
                .ok_or(ReplayError::Record)?;
            let change = if head & 1 == 1 {
                Replayed::Delete(body)
            } else {
                Replayed::Put(body)
            };
            turn.push((space, change));
        }
    }
    Ok(turn)
}

fn take_u32(bytes: &mut &[u8]) -> Result<u32, ReplayError> {
    let taken = bytes.split_off(..4).ok_or(ReplayError::Record)?;
    Ok(u32::from_le_bytes(
        taken.try_into().expect("the range is four long"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::Key;

    #[test]
    fn a_turn_comes_back_as_it_was() {
        let mut turn = Layer::default();
        turn.set(512, Key::from_bytes(b"bbbbbbbbbbbb"), None);
        turn.set(512, Key::from_bytes(b"a"), Some(vec![0x91, 1].into()));
        turn.set(600, Key::from_bytes(b"c"), Some(vec![0x91, 2].into()));
        turn.set(601, Key::from_bytes(b"d"), Some(vec![0x91, 3].into()));
        let mut bytes = Vec::new();
        assert!(encode(&turn, |space| space != 601, &mut bytes));
        assert!(!encode(&turn, |_| false, &mut Vec::new()));
        let changes = decode(&bytes).unwrap();
        assert!(matches!(changes[0], (512, Replayed::Put(&[0x91, 1]))));
        assert!(matches!(
            changes[1],
            (512, Replayed::Delete(b"bbbbbbbbbbbb"))
        ));
        assert!(matches!(changes[2], (600, Replayed::Put(&[0x91, 2]))));
        assert_eq!(changes.len(), 3, "what is not durable is not there");
        for end in 0..bytes.len() {
            let cut = decode(&bytes[..end]);
            assert!(
                cut.is_err() || cut.is_ok_and(|turn| turn.len() < 3),
                "cut at {end}"
            );
        }
        bytes[0] = 9;
        assert!(matches!(decode(&bytes), Err(ReplayError::Record)));
    }
}
