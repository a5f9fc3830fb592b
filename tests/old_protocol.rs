//! What a client that did not ask for chunks is sent: byte for byte what servers sent before there
//! were groups and chunks.
//!
//! `old_protocol/exchanges.txt` was recorded from such a server. `VESTIBULE_RECORD_FROM` with the
//! path of one records it again. Nothing of a reply is left out but where in its sources a server
//! made an error.

mod support;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use support::{Directory, PATIENCE, Server};
use vestibule_actors::wire::frame::PREFIX_SIZE;
use vestibule_actors::wire::greeting::GREETING_SIZE;
use vestibule_actors::wire::msgpack::Reader;

/// Equal bytes in a row that are written as a count.
const RUN_MIN: usize = 16;

/// Bytes as they are written in the exchanges: hexadecimal, and `ab*1000` for a thousand of one.
fn bytes_of(text: &str) -> Vec<u8> {
    let byte = |pair: &str| u8::from_str_radix(pair, 16).expect("hexadecimal");
    let mut bytes = Vec::new();
    for word in text.split(' ') {
        match word.split_once('*') {
            Some((one, count)) => {
                let count: usize = count.parse().expect("a count");
                bytes.resize(bytes.len() + count, byte(one));
            }
            None => bytes.extend((0..word.len()).step_by(2).map(|at| byte(&word[at..at + 2]))),
        }
    }
    bytes
}

/// The other way round.
fn text_of(bytes: &[u8]) -> String {
    let mut text = String::new();
    for run in bytes.chunk_by(|one, next| one == next) {
        if run.len() >= RUN_MIN {
            write!(text, " {:02x}*{} ", run[0], run.len()).expect("a String takes it");
        } else {
            run.iter()
                .for_each(|byte| write!(text, "{byte:02x}").expect("a String takes it"));
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The frame of an error without the line and the file that made it, which change with the sources.
/// Its length is that of what is left.
fn without_place(frame: Vec<u8>) -> Vec<u8> {
    // An entry of six pairs, whose first is the type.
    const BEFORE: &[u8] = b"\x86\x00\xabClientError\x02";
    let is_before = |window: &[u8]| window == BEFORE;
    let Some(at) = frame.windows(BEFORE.len()).position(is_before) else {
        return frame;
    };
    let (head, place) = frame.split_at(at + BEFORE.len());
    let mut reader = Reader::new(place);
    reader.read_uint().expect("the line");
    assert_eq!(reader.read_uint().expect("the next key"), 1);
    reader.read_str().expect("the file");
    let mut left = [head, reader.rest()].concat();
    let size = (left.len() - PREFIX_SIZE) as u32;
    left[1..PREFIX_SIZE].copy_from_slice(&size.to_be_bytes());
    left
}

/// A client that knows nothing of what it is sent but where a frame ends.
struct Client(TcpStream);

impl Client {
    fn connect(server: &Server) -> Self {
        let mut stream = TcpStream::connect(server.address()).expect("the server listens");
        let set = stream.set_read_timeout(Some(PATIENCE));
        set.expect("it can be set");
        let mut greeting = [0; GREETING_SIZE];
        stream.read_exact(&mut greeting).expect("it greets");
        // The rest is the instance's UUID and the salt.
        assert!(greeting.starts_with(b"Tarantool 2."), "{greeting:?}");
        assert_eq!((greeting[63], greeting[127]), (b'\n', b'\n'));
        Self(stream)
    }

    fn frame(&mut self) -> Vec<u8> {
        let mut frame = vec![0; PREFIX_SIZE];
        self.0.read_exact(&mut frame).expect("a frame comes");
        let size: [u8; 4] = frame[1..].try_into().expect("four bytes");
        frame.resize(PREFIX_SIZE + u32::from_be_bytes(size) as usize, 0);
        let rest = &mut frame[PREFIX_SIZE..];
        self.0.read_exact(rest).expect("a whole frame comes");
        frame
    }
}

/// The exchanges, with the replies that a server gives now.
fn exchanged_with(server: &Server, exchanges: &str) -> String {
    let mut client = None;
    let mut now = String::new();
    for line in exchanges.lines() {
        match line.split_once(' ') {
            Some(("connection", _)) => client = Some(Client::connect(server)),
            Some((">", request)) => {
                let client = client.as_mut().expect("a connection is named first");
                let sent = client.0.write_all(&bytes_of(request));
                sent.expect("the server reads");
            }
            Some(("<", _)) => {
                let client = client.as_mut().expect("a connection is named first");
                let frame = without_place(client.frame());
                writeln!(now, "< {}", text_of(&frame)).expect("a String takes it");
                continue;
            }
            _ => {}
        }
        writeln!(now, "{line}").expect("a String takes it");
    }
    now
}

#[test]
fn m09_who_did_not_ask_for_chunks_is_sent_byte_for_byte_what_old_servers_sent() {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/old_protocol/exchanges.txt");
    let exchanges = fs::read_to_string(&recorded).expect("it is there");
    let directory = Directory::new();
    if let Some(old) = std::env::var_os("VESTIBULE_RECORD_FROM") {
        let mut command = Command::new(old);
        command.env("VESTIBULE_DATA", directory.path().join("data"));
        let server = Server::spawn(command, "127.0.0.1:0", &[]);
        let recording = exchanged_with(&server, &exchanges);
        fs::write(&recorded, recording).expect("it can be written");
        return;
    }
    let server = Server::start(directory.path(), &[]);
    let now = exchanged_with(&server, &exchanges);
    let mut what = "";
    for (old, new) in exchanges.lines().zip(now.lines()) {
        if old.starts_with('#') {
            what = old;
        }
        assert_eq!(old, new, "{what}");
    }
    assert_eq!(exchanges.lines().count(), now.lines().count());
}
