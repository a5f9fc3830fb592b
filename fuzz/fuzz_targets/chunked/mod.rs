//! Messages in chunks as an input cuts them, and what the protocol says of them: a model of its own
//! by `docs/protocol.md`, which does not share code with those who receive chunks, but for the form
//! of a frame.

use std::collections::BTreeMap;

use vestibule_wire::groups::chunk::{self, Chunk, First};
use vestibule_wire::groups::{Agreement, Group, Receiver};
use vestibule_wire::limits::CHUNK_PAYLOAD_MAX;

/// One step of an input: what, of which group, two numbers.
pub(crate) type Step = (u8, u8, u16, u16);

/// Bytes of a frame's length.
pub(crate) const PREFIX: usize = 5;

/// Most bytes of one piece here. What is sent at once is then within every window.
const PIECE_MAX: usize = CHUNK_PAYLOAD_MAX;

/// A number that no sender gets to.
const NEVER: u32 = 1 << 20;

/// A message that was begun and is not whole.
struct Open {
    group: Group,
    total: usize,
    bytes: Vec<u8>,
    /// What it is to be, and from where on it is not sent.
    plan: Vec<u8>,
    is_stopped: bool,
}

/// One direction of a connection: what is sent, and what has to come of it.
pub(crate) struct Sequence {
    agreed: Agreement,
    size_max: usize,
    last: u32,
    open: BTreeMap<u32, Open>,
    /// The contents of messages that are whole, and whether they are as they were planned.
    pub(crate) whole: Vec<(Vec<u8>, bool)>,
    /// Messages that were reset, or are too large to be taken: what they were to be.
    pub(crate) reset: Vec<Vec<u8>>,
    pub(crate) is_damaged: bool,
    /// A piece was sent that was not planned for its message.
    pub(crate) is_wild: bool,
    /// The receiver of both ends, held against the model.
    receiver: Receiver,
    ahead: usize,
}

fn group(number: u8) -> Group {
    match number % 24 {
        0 => Group::Read,
        1 => Group::Write,
        2 => Group::Call,
        id => Group::stream(u64::from(id)).expect("above 0"),
    }
}

impl Sequence {
    /// What is sent to somebody who holds what was agreed, takes messages up to `size_max`, and
    /// admits this number of bytes ahead of what has come.
    pub(crate) fn new(agreed: Agreement, size_max: usize, ahead: usize) -> Self {
        Self {
            agreed,
            size_max,
            last: 0,
            open: BTreeMap::new(),
            whole: Vec::new(),
            reset: Vec::new(),
            is_damaged: false,
            is_wild: false,
            receiver: Receiver::new(agreed),
            ahead,
        }
    }

    /// The frame of a step, empty if it finds nothing to do. `message` makes a message of a group,
    /// without its length, and is told its bytes, about.
    pub(crate) fn frame(
        &mut self,
        step: Step,
        message: impl FnOnce(Group, usize) -> Option<Vec<u8>>,
    ) -> Vec<u8> {
        let (kind, which, size, more) = step;
        let number = self.of(which);
        let frame = match kind % 32 {
            0..=8 => self.begin(group(which), size, more, message),
            9..=14 => self.next(number, usize::from(size)),
            // Up to the largest, whose rest is read straight to its message.
            15..=20 => self.next(number, 2 * usize::from(size)),
            21 => self.next(number, usize::MAX),
            22 => chunk::reset(number, None),
            // From here on, what no sender sends, mostly.
            23 => with_piece(chunk::data(u32::from(more), None, 1), &[0]),
            24 => self.again(number, self.last.wrapping_add(1)),
            25 => self.again(number, u32::from(size)),
            26 => with_piece(
                chunk::data(number, None, u32::from(size)),
                &vec![7; size.into()],
            ),
            27 => chunk::credit(NEVER + u32::from(size), 1)
                .as_bytes()
                .to_vec(),
            28 => chunk::stop(NEVER + u32::from(size), None),
            _ => {
                let frame = self.next(number, usize::from(more));
                changed(frame, size)
            }
        };
        self.take(&frame);
        frame
    }

    /// A message that is under way; the next one's number if there is none.
    fn of(&self, which: u8) -> u32 {
        let at = usize::from(which) % self.open.len().max(1);
        let number = self.open.keys().nth(at);
        number.copied().unwrap_or(self.last.wrapping_add(1))
    }

    /// The first piece of a message, if its group is free and there is room for one.
    fn begin(
        &mut self,
        group: Group,
        size: u16,
        more: u16,
        message: impl FnOnce(Group, usize) -> Option<Vec<u8>>,
    ) -> Vec<u8> {
        let is_busy = self.open.values().any(|own| own.group == group);
        if is_busy || self.open.len() >= self.agreed.messages_max {
            return Vec::new();
        }
        let Some(plan) = message(group, usize::from(size) * 6) else {
            return Vec::new();
        };
        let total = plan.len() as u32;
        let number = self.last.wrapping_add(1);
        let piece = (2 * usize::from(more)).min(plan.len()).min(PIECE_MAX);
        let head = chunk::data(number, Some(First { group, total }), piece as u32);
        let frame = with_piece(head, &plan[..piece]);
        self.open.insert(
            number,
            Open {
                group,
                total: plan.len(),
                bytes: Vec::new(),
                plan,
                is_stopped: false,
            },
        );
        frame
    }

    /// The next piece of a message.
    fn next(&self, number: u32, size: usize) -> Vec<u8> {
        let Some(open) = self.open.get(&number) else {
            return Vec::new();
        };
        let sent = open.bytes.len().min(open.plan.len());
        let end = open.plan.len().min(sent + size.clamp(1, PIECE_MAX));
        let piece = &open.plan[sent..end];
        with_piece(chunk::data(number, None, piece.len() as u32), piece)
    }

    /// A first piece in the group of a message that is under way, or under another number.
    fn again(&self, number: u32, as_number: u32) -> Vec<u8> {
        let of = self.open.get(&number).map_or(Group::Read, |own| own.group);
        let first = First {
            group: of,
            total: 100_000,
        };
        chunk::data(as_number, Some(first), 0).as_bytes().to_vec()
    }

    /// What the protocol says of a frame.
    fn take(&mut self, frame: &[u8]) {
        if frame.is_empty() {
            return;
        }
        let is_right = match Chunk::read(&frame[PREFIX..]) {
            Err(_) => false,
            Ok(chunk) => {
                let is_right = self.is_right(&chunk);
                if let Chunk::Data {
                    number,
                    first,
                    piece,
                } = chunk
                {
                    let received = self.receiver.data(number, first, piece);
                    assert_eq!(received.is_ok(), is_right, "{received:?}");
                    self.receiver.admit_ahead(number, self.ahead);
                } else if let Chunk::Reset { number, .. } = chunk {
                    self.receiver.reset(number);
                }
                is_right
            }
        };
        self.is_damaged |= !is_right;
        let bound = |own: &Open| own.total.min(2 * (own.bytes.len() + self.ahead));
        let bound: usize = self.open.values().map(bound).sum();
        assert!(self.is_damaged || self.receiver.allocated() <= bound + self.agreed.window);
    }

    fn is_right(&mut self, chunk: &Chunk<'_>) -> bool {
        match *chunk {
            Chunk::Data {
                number,
                first,
                piece,
            } => {
                if let Some(First { group, total }) = first {
                    let planned = self.open.remove(&number).filter(|own| own.bytes.is_empty());
                    let is_busy = self.open.values().any(|own| own.group == group);
                    let is_next = number == self.last.wrapping_add(1);
                    if !is_next || is_busy || self.open.len() >= self.agreed.messages_max {
                        return false;
                    }
                    self.last = number;
                    let open = Open {
                        group,
                        total: total as usize,
                        bytes: Vec::new(),
                        plan: planned.map_or_else(Vec::new, |own| own.plan),
                        is_stopped: total as usize > self.size_max,
                    };
                    self.open.insert(number, open);
                }
                let Some(open) = self.open.get_mut(&number) else {
                    return false;
                };
                open.bytes.extend_from_slice(piece);
                self.is_wild |= !open.plan.starts_with(&open.bytes);
                if open.bytes.len() >= open.total {
                    let Some(open) = self.open.remove(&number) else {
                        return false;
                    };
                    if open.bytes.len() > open.total {
                        return false;
                    }
                    if open.is_stopped {
                        self.reset.push(open.plan);
                    } else {
                        let is_as_planned = open.bytes == open.plan;
                        self.whole.push((open.bytes, is_as_planned));
                    }
                }
                true
            }
            Chunk::Reset { number, .. } => {
                self.reset
                    .extend(self.open.remove(&number).map(|own| own.plan));
                true
            }
            // They are about the other direction, in which nothing has this number.
            Chunk::Credit { number, .. } | Chunk::Stop { number, .. } => number < NEVER,
        }
    }
}

fn with_piece(head: chunk::Head, piece: &[u8]) -> Vec<u8> {
    [head.as_bytes(), piece].concat()
}

/// The same frame with one byte of its head changed, if it is still one of chunks, and says nothing
/// of the other direction.
fn changed(mut frame: Vec<u8>, what: u16) -> Vec<u8> {
    let [at, value] = what.to_be_bytes();
    let at = PREFIX + usize::from(at) % 25;
    let before = frame.clone();
    let Some(byte) = frame.get_mut(at) else {
        return frame;
    };
    *byte = value;
    let says_of_the_other = Chunk::is_answer(&frame[PREFIX..]);
    if Chunk::is_one(&frame[PREFIX..]) && !says_of_the_other {
        frame
    } else {
        before
    }
}
