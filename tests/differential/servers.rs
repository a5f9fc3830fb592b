//! Both servers, and a connection to each.

use vestibule_actors::testing::Peer;

use crate::accepted::Answers;
use crate::reply::Reply;
use crate::request::Request;
use crate::support::tarantool::Tarantool;
use crate::support::{Directory, Server};

/// vestibule and Tarantool, with the same data in both as long as they answer alike.
#[derive(Debug)]
pub(crate) struct Servers {
    reference: Side,
    ours: Side,
    next_sync: u64,
    _processes: (Tarantool, Server),
    _directories: [Directory; 2],
}

#[derive(Debug)]
struct Side {
    name: &'static str,
    peer: Peer,
    /// The largest so far.
    schema_version: u64,
}

/// What both answered to one request.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) reference: Reply,
    pub(crate) ours: Reply,
}

/// What both answered to a batch.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) pairs: Vec<Pair>,
    /// Whether both schema versions grew, or neither. Their values have nothing in common.
    pub(crate) has_same_schema_change: bool,
}

impl Pair {
    /// Whether one did what the other refused, or did it otherwise.
    pub(crate) fn are_apart(&self) -> bool {
        let (theirs, ours) = (&self.reference, &self.ours);
        theirs.is_error() != ours.is_error() || theirs.data != ours.data
    }

    pub(crate) fn answers<'a>(&'a self, request: &'a Request) -> Answers<'a> {
        Answers {
            request,
            reference: &self.reference,
            ours: &self.ours,
        }
    }
}

impl Servers {
    pub(crate) fn start(tarantool: &str) -> Self {
        let directories = [Directory::new(), Directory::new()];
        let arguments = [directories[0].path().as_os_str()];
        let reference = Tarantool::start(tarantool, "differential/reference.lua", &arguments);
        let server = Server::start(directories[1].path(), &["--journal-sync", "never"]);
        Self {
            reference: Side::new("Tarantool", reference.connect()),
            ours: Side::new("vestibule", server.connect()),
            next_sync: 0,
            _processes: (reference, server),
            _directories: directories,
        }
    }

    /// Sends requests to both, all before the first reply is read.
    pub(crate) fn ask(&mut self, requests: &[Request]) -> Answered {
        let first = self.next_sync + 1;
        self.next_sync += requests.len() as u64;
        let frames = (first..)
            .zip(requests)
            .flat_map(|(sync, request)| request.frame(sync));
        let bytes: Vec<u8> = frames.collect();
        let (reference, is_changed) = self.reference.ask(&bytes, first, requests);
        let (ours, are_ours) = self.ours.ask(&bytes, first, requests);
        let pairs = reference.into_iter().zip(ours);
        Answered {
            pairs: pairs
                .map(|(reference, ours)| Pair { reference, ours })
                .collect(),
            has_same_schema_change: is_changed == are_ours,
        }
    }
}

impl Side {
    fn new(name: &'static str, peer: Peer) -> Self {
        Self {
            name,
            peer,
            schema_version: 0,
        }
    }

    /// The replies in the order of the requests, and whether the schema version grew. Replies come
    /// in any order, as requests outside streams are free to.
    fn ask(&mut self, bytes: &[u8], first: u64, requests: &[Request]) -> (Vec<Reply>, bool) {
        self.peer.send_bytes(bytes);
        let mut replies = vec![None; requests.len()];
        let before = self.schema_version;
        for _ in requests {
            let Ok(Some(frame)) = self.peer.try_receive() else {
                let asked: Vec<_> = requests.iter().map(Request::describe).collect();
                panic!("{} is gone, with {}", self.name, asked.join("\n"));
            };
            let at = frame.sync.checked_sub(first).map(|at| at as usize);
            let place = at.and_then(|at| replies.get_mut(at));
            let place = place.unwrap_or_else(|| panic!("{} answers {}", self.name, frame.sync));
            assert!(place.is_none(), "{} answers twice", self.name);
            *place = Some(Reply::read(&frame));
            let version = frame.schema_version.expect("every reply tells it");
            self.schema_version = self.schema_version.max(version);
        }
        let replies = replies
            .into_iter()
            .map(|reply| reply.expect("all are there"));
        (replies.collect(), self.schema_version != before)
    }
}
